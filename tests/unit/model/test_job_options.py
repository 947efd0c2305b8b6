"""What callers write for a job, and what becomes of it."""

import sys
from datetime import UTC, datetime, timedelta

import pytest

from toril.errors import ValidationError
from toril.model.job_options import DEFAULT_OPTIONS, JobOptions
from toril.model.option_table import MAX_ATTEMPTS, MAX_TAGS
from toril.model.options import MAX_PRIORITY, Backoff, Keep, Priority

# Names


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("priorty", "priority"),
        ("attempt", "attempts"),
        ("time_out", "timeout"),
        ("schedule_at", "scheduled_at"),
        ("tag", "tags"),
    ],
)
def test_a_misspelt_option_is_answered_with_the_near_one(written, meant):
    with pytest.raises(ValidationError, match=f"unknown option; did you mean '{meant}'") as caught:
        JobOptions.of({written: 1})

    assert caught.value.field == written


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("jobId", "job_id"),
        ("removeOnComplete", "remove_on_complete"),
        ("removeOnFail", "remove_on_fail"),
        ("correlationId", "correlation_id"),
        ("scheduledAt", "scheduled_at"),
    ],
)
def test_a_camel_case_option_is_answered_with_our_name_for_it(theirs, ours):
    with pytest.raises(ValidationError, match=f"did you mean '{ours}'"):
        JobOptions.of({theirs: 1})


def test_an_option_like_no_other_is_answered_with_all_that_there_are():
    with pytest.raises(ValidationError, match="known: attempts, backoff, correlation_id"):
        JobOptions.of({"xyzzy": 1})


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("max_retries", "attempts"),
        ("countdown", "delay"),
        ("eta", "scheduled_at"),
        ("expires", "ttl"),
        ("timeLimit", "timeout"),
        ("task_id", "job_id"),
    ],
)
def test_an_option_by_the_name_that_others_have_for_it_is_answered_with_ours(theirs, ours):
    with pytest.raises(ValidationError, match=f"unknown option; Toril calls it '{ours}'"):
        JobOptions.of({theirs: 1})


def test_an_option_whose_name_is_no_text_is_refused():
    with pytest.raises(ValidationError, match="unknown option"):
        JobOptions.of({5: 1})


def test_no_options_are_the_defaults():
    assert JobOptions.of({}) is DEFAULT_OPTIONS
    assert JobOptions() == DEFAULT_OPTIONS


# Values: each error names the field


_NOW = datetime.now(UTC)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("priority", "urgentest"),
        ("priority", -1),
        ("priority", MAX_PRIORITY + 1),
        ("priority", 1.5),
        ("priority", True),
        ("priority", None),
        ("delay", -1),
        ("delay", "soon"),
        ("delay", None),
        ("scheduled_at", "tomorrow"),
        ("scheduled_at", None),
        ("attempts", 0),
        ("attempts", MAX_ATTEMPTS + 1),
        ("attempts", 2.0),
        ("attempts", True),
        ("attempts", "3"),
        ("remove_on_complete", "yes"),
        ("remove_on_complete", 1.5),
        ("remove_on_fail", ...),
        ("lifo", 1),
        ("lifo", None),
        ("timeout", 0),
        ("timeout", -1),
        ("timeout", "0s"),
        ("ttl", 0),
        ("ttl", "never"),
        ("tags", "word"),
        ("tags", 5),
        ("tags", [""]),
        ("tags", ["x" * 101]),
        ("tags", [5]),
        ("tags", ["\ud800"]),
        ("tags", [str(n) for n in range(MAX_TAGS + 1)]),
        ("metadata", [1]),
        ("metadata", "x"),
        ("correlation_id", ""),
        ("correlation_id", "x" * 256),
        ("correlation_id", 5),
        ("correlation_id", "\ud800"),
        ("deduplication", "key"),
        ("deduplication", True),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_a_refused_value_is_named_by_its_field(field, value):
    with pytest.raises(ValidationError) as caught:
        JobOptions.of({field: value})

    assert caught.value.field == field
    assert str(caught.value).startswith(f"{field}: ")


@pytest.mark.parametrize(
    ("given", "attribute", "expected"),
    [
        ({"priority": "critical"}, "priority", 1),
        ({"priority": Priority.BACKGROUND}, "priority", 5),
        ({"priority": 0}, "priority", 0),
        ({"priority": MAX_PRIORITY}, "priority", MAX_PRIORITY),
        ({"delay": "2s"}, "delay_ms", 2000),
        ({"delay": timedelta(minutes=1)}, "delay_ms", 60_000),
        ({"scheduled_at": 5}, "scheduled_ms", 5000),
        ({"attempts": MAX_ATTEMPTS}, "attempts", MAX_ATTEMPTS),
        ({"remove_on_complete": True}, "keep_completed", Keep(count=0)),
        ({"remove_on_complete": False}, "keep_completed", None),
        ({"remove_on_complete": None}, "keep_completed", None),
        ({"remove_on_complete": 7}, "keep_completed", Keep(count=7)),
        ({"remove_on_complete": -1}, "keep_completed", None),
        ({"remove_on_fail": {"count": 1, "age": "1h"}}, "keep_failed", Keep(1, "1h")),
        ({"remove_on_fail": Keep(age=5)}, "keep_failed", Keep(age=5)),
        ({"lifo": True}, "lifo", True),
        ({"timeout": 0.5}, "timeout_ms", 500),
        ({"timeout": None}, "timeout_ms", None),
        ({"ttl": "1d"}, "ttl_ms", 86_400_000),
        ({"tags": ["a", "b", "a"]}, "tags", ("a", "b")),
        ({"tags": ()}, "tags", ()),
        ({"metadata": {"a": [1]}}, "metadata", {"a": [1]}),
        ({"metadata": None}, "metadata", None),
        ({"correlation_id": "request-5"}, "correlation_id", "request-5"),
        ({"backoff": 2}, "backoff", Backoff.fixed(2)),
        ({"backoff": None}, "backoff", None),
        ({"deduplication": None}, "deduplication", None),
    ],
    ids=lambda value: repr(value)[:50],
)
def test_an_accepted_value_is_kept_in_its_exact_form(given, attribute, expected):
    assert getattr(JobOptions.of(given), attribute) == expected


def test_a_job_is_either_delayed_or_scheduled():
    with pytest.raises(ValidationError, match="give either delay or scheduled_at, not both"):
        JobOptions.of({"delay": 1, "scheduled_at": _NOW})


# Job ids


@pytest.mark.parametrize("value", ["1", "0", "-5", "9" * 30])
def test_an_integer_is_no_job_id_because_bullmq_makes_those(value):
    with pytest.raises(ValidationError, match=r"job_id: .*is an integer, .*add a prefix"):
        JobOptions.of({"job_id": value})


def test_a_colon_is_not_allowed_in_a_job_id():
    with pytest.raises(ValidationError, match="job_id: 'a:b' contains a colon"):
        JobOptions.of({"job_id": "a:b"})


@pytest.mark.parametrize("value", ["", "x" * 256, 5, None, b"id", "\ud800"], ids=repr)
def test_a_job_id_is_text_of_1_to_255_characters(value):
    with pytest.raises(ValidationError, match=r"^job_id: "):
        JobOptions.of({"job_id": value})


@pytest.mark.parametrize(
    "value", ["x" * 255, "order-5", "007", "1.5", "--5", "-", "+5", "²", "ünï", "a b"]
)
def test_any_other_text_may_be_a_job_id(value):
    assert JobOptions.of({"job_id": value}).job_id == value


# Retry presets


@pytest.mark.parametrize(
    ("priority", "attempts", "first_delay_ms"),
    [
        (Priority.CRITICAL, 5, 1000),
        (Priority.HIGH, 4, 2000),
        (Priority.NORMAL, 3, 5000),
        (Priority.LOW, 3, 5000),
        (Priority.BACKGROUND, 3, 5000),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_a_named_priority_brings_its_attempts_and_exponential_backoff(
    priority, attempts, first_delay_ms
):
    options = JobOptions.of({"priority": priority})

    assert options.attempts == attempts
    assert options.backoff == Backoff("exponential", first_delay_ms)


@pytest.mark.parametrize("priority", [0, 6, MAX_PRIORITY])
def test_a_priority_without_a_name_brings_one_attempt(priority):
    options = JobOptions.of({"priority": priority})

    assert (options.attempts, options.backoff) == (1, None)


def test_explicit_attempts_win_over_the_preset():
    options = JobOptions.of({"priority": "high", "attempts": 9})

    assert options.attempts == 9
    assert options.backoff == Backoff.exponential(2)


def test_an_explicit_backoff_wins_over_the_preset():
    options = JobOptions.of({"priority": "high", "backoff": Backoff.fixed(7)})

    assert options.attempts == 4
    assert options.backoff == Backoff.fixed(7)


def test_an_explicit_none_turns_the_presets_backoff_off():
    assert JobOptions.of({"priority": "high", "backoff": None}).backoff is None


# As objects


def test_validating_options_changes_nothing_the_caller_holds():
    metadata = {"a": 1}
    written = {"tags": ["x"], "metadata": metadata}

    options = JobOptions.of(written)
    metadata["a"] = sys.maxsize

    assert options.metadata == {"a": 1}
    assert written["tags"] == ["x"]
