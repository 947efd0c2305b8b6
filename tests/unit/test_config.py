import pytest

from toril.config import Settings
from toril.errors import ConfigurationError


def read(**environment):
    return Settings.from_environment(environment)


def test_an_empty_environment_gives_the_defaults():
    assert read() == Settings()
    assert Settings() == Settings(
        url="sqlite:///toril.db",
        prefix="bull",
        concurrency=10,
        remove_on_complete=None,
        remove_on_fail=None,
        log_level="info",
        payload_store=None,
        payload_threshold=256 * 1024,
        payload_max_bytes=256 * 1024 * 1024,
        production=False,
        allow_volatile=False,
    )


def test_every_variable_is_read():
    found = read(
        TORIL_URL="memory://",
        TORIL_PREFIX="billing",
        WORKER_CONCURRENCY="7",
        QUEUE_REMOVE_ON_COMPLETE="100",
        QUEUE_REMOVE_ON_FAIL="0",
        LOG_LEVEL="WARNING",
        TORIL_PAYLOAD_STORE="s3://bucket/payloads",
        TORIL_PAYLOAD_THRESHOLD="100000",
        TORIL_PAYLOAD_MAX_BYTES="5000000",
        TORIL_ENV="production",
        TORIL_ALLOW_VOLATILE="1",
    )

    assert found == Settings(
        url="memory://",
        prefix="billing",
        concurrency=7,
        remove_on_complete=100,
        remove_on_fail=0,
        log_level="warning",
        payload_store="s3://bucket/payloads",
        payload_threshold=100_000,
        payload_max_bytes=5_000_000,
        production=True,
        allow_volatile=True,
    )


@pytest.mark.parametrize(
    ("environment", "url"),
    [
        ({"REDIS_HOST": "h"}, "redis://h:6379/0"),
        ({"REDIS_HOST": "h", "REDIS_PORT": "7000", "REDIS_DB": "2"}, "redis://h:7000/2"),
        ({"REDIS_HOST": "h", "REDIS_PASSWORD": "a:b@c/d e"}, "redis://:a%3Ab%40c%2Fd%20e@h:6379/0"),
        ({"REDIS_HOST": "::1"}, "redis://[::1]:6379/0"),
        ({"REDIS_PORT": "7000"}, "sqlite:///toril.db"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_the_redis_variables_make_a_url(environment, url):
    assert Settings.from_environment(environment).url == url


def test_the_url_goes_before_the_redis_variables():
    assert read(TORIL_URL="memory://", REDIS_HOST="h").url == "memory://"


def test_the_workers_concurrency_goes_before_the_queues():
    assert read(QUEUE_CONCURRENCY="5").concurrency == 5
    assert read(QUEUE_CONCURRENCY="5", WORKER_CONCURRENCY="6").concurrency == 6


@pytest.mark.parametrize(
    "name",
    [
        *("TORIL_URL", "TORIL_PREFIX", "WORKER_CONCURRENCY", "QUEUE_CONCURRENCY"),
        *("QUEUE_REMOVE_ON_COMPLETE", "QUEUE_REMOVE_ON_FAIL", "LOG_LEVEL"),
        *("TORIL_PAYLOAD_STORE", "TORIL_PAYLOAD_THRESHOLD", "TORIL_PAYLOAD_MAX_BYTES"),
        *("REDIS_HOST", "REDIS_PORT", "REDIS_DB", "REDIS_PASSWORD"),
    ],
)
def test_an_empty_variable_is_one_that_is_not_set(name):
    assert Settings.from_environment({name: ""}) == Settings()


@pytest.mark.parametrize(
    ("name", "value", "what"),
    [
        ("WORKER_CONCURRENCY", "0", "an integer ≥ 1"),
        ("WORKER_CONCURRENCY", "many", "an integer ≥ 1"),
        ("WORKER_CONCURRENCY", "-1", "an integer ≥ 1"),
        ("QUEUE_CONCURRENCY", "1.5", "an integer ≥ 1"),
        ("QUEUE_REMOVE_ON_COMPLETE", "-1", "an integer ≥ 0"),
        ("QUEUE_REMOVE_ON_COMPLETE", "true", "an integer ≥ 0"),
        ("QUEUE_REMOVE_ON_FAIL", "x", "an integer ≥ 0"),
        ("REDIS_PORT", "http", "an integer ≥ 1"),
        ("REDIS_DB", "-1", "an integer ≥ 0"),
        ("TORIL_PAYLOAD_THRESHOLD", "256k", "an integer ≥ 1"),
        ("TORIL_ALLOW_VOLATILE", "perhaps", "1 or 0"),
        ("TORIL_PAYLOAD_MAX_BYTES", "0", "an integer ≥ 1"),
        ("LOG_LEVEL", "loud", "one of debug, info, warning, error"),
    ],
)
def test_a_variable_that_cannot_be_is_named_with_what_can(name, value, what):
    with pytest.raises(ConfigurationError) as caught:
        Settings.from_environment({"REDIS_HOST": "h", name: value})

    assert str(caught.value) == f"{name} must be {what}, not {value!r}"


def test_the_processs_own_environment_is_read_unless_another_is_given(monkeypatch):
    monkeypatch.setenv("TORIL_URL", "sqlite:///other.db")

    assert Settings.from_environment().url == "sqlite:///other.db"


def test_what_is_to_be_removed_becomes_the_default_of_jobs():
    assert read().default_job_options == {}
    assert read(QUEUE_REMOVE_ON_COMPLETE="0").default_job_options == {"remove_on_complete": 0}
    assert read(QUEUE_REMOVE_ON_FAIL="5").default_job_options == {"remove_on_fail": 5}
