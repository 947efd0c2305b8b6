"""What can be said without a store: registration, and what is refused."""

from pathlib import Path

import pytest

from toril import (
    ConfigurationError,
    JobContext,
    QueueManager,
    RateLimit,
    Settings,
    ValidationError,
    WorkerSettings,
)


@pytest.fixture
def manager():
    return QueueManager("memory://", settings=Settings())


async def nothing(job: JobContext):
    pass


def test_the_settings_say_where_jobs_live_unless_the_manager_is_told():
    settings = Settings(url="memory://")

    assert repr(QueueManager(settings=settings)) == "<QueueManager memory://>"
    assert "x.db" in repr(QueueManager("sqlite:///x.db", settings=settings))


def test_a_manager_touches_nothing_before_it_is_used(tmp_path):
    manager = QueueManager(f"sqlite:///{tmp_path}/toril.db", settings=Settings())
    manager.register_queue("q")
    manager.register_processor("q", nothing)

    assert list(Path(tmp_path).iterdir()) == []


# Queues


def test_a_queue_is_registered_once(manager):
    manager.register_queue("emails")

    with pytest.raises(ConfigurationError, match=r"already registered; manager\.queue\('emails'\)"):
        manager.register_queue("emails")


def test_the_same_name_in_another_context_is_another_queue(manager):
    ours = manager.register_queue("emails")
    theirs = manager.register_queue("emails", prefix="billing")

    assert ours is not theirs
    assert manager.queue("emails") is ours
    assert manager.queue("billing:emails") is theirs


def test_a_queue_that_is_asked_for_is_made(manager):
    assert manager.queue("new") is manager.queue("new")


@pytest.mark.parametrize(
    "name", ["", "a:b", "x" * 10_001, 5, None, "\ud800"], ids=lambda name: repr(name)[:20]
)
def test_a_name_that_can_be_no_queues_is_refused(manager, name):
    with pytest.raises(ValidationError, match=r"^queue: "):
        manager.register_queue(name)


@pytest.mark.parametrize(
    ("name", "prefix"),
    [("mails", "app:jobs"), ("a b/c", "{bull}:custom"), ("x" * 1_000, "y" * 1_000), ("a\n", "%")],
)
def test_a_queue_is_named_as_bullmq_allows(manager, name, prefix):
    queue = manager.register_queue(name, prefix=prefix)

    assert manager.queue(str(queue)) is queue


@pytest.mark.parametrize("prefix", ["", 5, "\ud800", "a:", "bull::toril"], ids=repr)
def test_a_prefix_that_can_be_no_queues_is_refused(manager, prefix):
    with pytest.raises(ValidationError, match=r"^prefix: "):
        manager.register_queue("q", prefix=prefix)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"concurrency": 0}, "concurrency"),
        ({"concurrency": 1.5}, "concurrency"),
        ({"concurrency": "5"}, "concurrency"),
        ({"concurrency": True}, "concurrency"),
        ({"rate_limit": (100, 60)}, "rate_limit"),
        ({"rate_limit": 100}, "rate_limit"),
        ({"rate_limit": [RateLimit(1, 1), 5]}, "rate_limit"),
        ({"rate_limit": [RateLimit(1, 1), RateLimit(2, 2)]}, "rate_limit"),
        ({"rate_limit": [RateLimit(1, 1, by="a"), RateLimit(2, 2, by="b")]}, "rate_limit"),
        ({"concurrency_by_key": 5}, "concurrency_by_key"),
        ({"concurrency_by_key": {}}, "concurrency_by_key"),
        ({"concurrency_by_key": {"a": 1, "b": 2}}, "concurrency_by_key"),
        ({"concurrency_by_key": {"a": 0}}, "concurrency_by_key['a']"),
        ({"concurrency_by_key": {"": 1}}, "concurrency_by_key"),
        (
            {"rate_limit": RateLimit(1, 1, by="a"), "concurrency_by_key": {"b": 1}},
            "concurrency_by_key",
        ),
        ({"max_data_bytes": 0}, "max_data_bytes"),
        ({"max_data_bytes": "1M"}, "max_data_bytes"),
        ({"default_job_options": [1]}, "default_job_options"),
        ({"default_job_options": {"attempts": 0}}, "attempts"),
    ],
    ids=str,
)
def test_a_limit_that_cannot_be_is_refused_by_its_name(manager, options, field):
    with pytest.raises(ValidationError) as caught:
        manager.register_queue("q", **options)

    assert caught.value.field.startswith(field)
    assert manager.registered == []


def test_a_misspelt_default_option_is_answered_with_the_near_one(manager):
    with pytest.raises(ValidationError, match="did you mean 'attempts'"):
        manager.register_queue("q", default_job_options={"attemps": 3})


def test_limits_of_the_right_kind_are_taken(manager):
    manager.register_queue("q", rate_limit=RateLimit(1, per="1m"), concurrency=5)
    manager.register_queue(
        "by-tenant",
        rate_limit=[RateLimit(100, per=1), RateLimit(5, per=60, burst=2, by="tenant")],
        concurrency_by_key={"tenant": 2},
    )


# Handlers and workers


def test_a_queue_has_one_processor(manager):
    manager.register_processor("q", nothing)

    with pytest.raises(ConfigurationError, match="queue 'q' already has a processor"):
        manager.register_processor("q", nothing)


@pytest.mark.parametrize("what", [5, None, "name"], ids=repr)
def test_what_cannot_be_called_is_no_processor(manager, what):
    with pytest.raises(ConfigurationError, match="cannot be a processor: it must be a function"):
        manager.register_processor("q", what)


def test_a_processor_takes_the_jobs_context(manager):
    with pytest.raises(ConfigurationError, match="context"):
        manager.register_processor("q", lambda: None)
    with pytest.raises(ConfigurationError, match="context"):
        manager.register_processor("q", lambda job, other: None)


def test_without_a_handler_there_is_nothing_to_work_on(manager):
    manager.register_queue("q")

    with pytest.raises(ConfigurationError, match=r"no queue has a handler: .*@queue\.task"):
        manager.worker()


def test_a_queue_without_a_handler_cannot_be_served(manager):
    with pytest.raises(ConfigurationError, match="queue 'typo' has no handler"):
        manager.worker(queues=["typo"])


def test_torils_own_backoffs_cannot_be_replaced(manager):
    with pytest.raises(ConfigurationError, match="choose another name"):
        manager.register_backoff("exponential", lambda made, error: 1)


@pytest.mark.parametrize(
    ("name", "strategy"),
    [("", lambda made, error: 1), (5, lambda made, error: 1), ("x", 5)],
    ids=["no name", "a number", "no function"],
)
def test_a_backoff_strategy_is_a_function_with_a_name(manager, name, strategy):
    with pytest.raises((ConfigurationError, ValidationError)):
        manager.register_backoff(name, strategy)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("concurrency", v) for v in (0, -1, True, 1.5, "5")),
        *(("processes", v) for v in (0, "all")),
        *(("lease", v) for v in (0, -1, "long", None)),
        *(("grace", v) for v in (-1, "long")),
        *(("cancel_grace", v) for v in (-1, "long")),
        *(("report_every", v) for v in (-1, "often")),
        *(("max_stalls", v) for v in (-1, "few", 1.5)),
    ],
    ids=repr,
)
def test_a_workers_setting_that_cannot_be_is_named(field, value):
    with pytest.raises(ConfigurationError, match=f"^{field}"):
        WorkerSettings(**{field: value})


def test_the_concurrency_that_is_given_goes_before_the_settings(manager):
    manager.register_processor("q", nothing)
    settings = WorkerSettings(concurrency=3, lease="5s")

    assert manager.worker().settings.concurrency == 10
    assert manager.worker(settings=settings).settings == settings
    assert manager.worker(7, settings=settings).settings == WorkerSettings(
        concurrency=7, lease="5s"
    )
