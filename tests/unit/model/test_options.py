"""The values that options have: priorities, what is kept, backoffs, deduplication."""

import pytest

from toril.errors import ValidationError
from toril.model.job_options import JobOptions
from toril.model.limits import RateLimit
from toril.model.options import Backoff, Deduplication, Keep, Priority

# Priorities


def test_urgent_is_another_name_for_critical():
    assert Priority.URGENT is Priority.CRITICAL
    assert JobOptions.of({"priority": "urgent"}) == JobOptions.of({"priority": 1})


def test_the_named_priorities_are_bullmqs_numbers_and_1_runs_first():
    assert [p.value for p in Priority] == [1, 2, 3, 4, 5]
    assert [p.name for p in Priority] == ["CRITICAL", "HIGH", "NORMAL", "LOW", "BACKGROUND"]


def test_a_misspelt_priority_is_answered_with_the_near_one():
    with pytest.raises(ValidationError, match="did you mean 'CRITICAL'"):
        Priority.parse("critcal")


# Keep


@pytest.mark.parametrize("count", [-1, 1.5, "3", True], ids=repr)
def test_a_count_to_keep_is_a_number_from_0(count):
    with pytest.raises(ValidationError, match="must be an integer from 0"):
        Keep(count=count)


@pytest.mark.parametrize("age", [-1, "old", float("nan")], ids=repr)
def test_an_age_to_keep_is_a_duration(age):
    with pytest.raises(ValidationError, match=r"^keep\.age: "):
        Keep(age=age)


def test_what_is_wrong_with_a_keep_is_named_by_the_option_it_stands_in():
    with pytest.raises(ValidationError) as caught:
        JobOptions.of({"remove_on_fail": {"count": "many"}})

    assert caught.value.field.startswith("remove_on_fail")


def test_an_unknown_field_of_a_keep_is_refused():
    with pytest.raises(ValidationError, match=r"^remove_on_complete: .*Keep\(count, age\)"):
        JobOptions.of({"remove_on_complete": {"number": 5}})


# Backoff, its validation; tests/unit/model/test_backoff.py has its arithmetic


@pytest.mark.parametrize("jitter", [-0.1, 1.1, float("nan"), "x", None], ids=repr)
def test_jitter_is_a_share_of_0_to_1(jitter):
    with pytest.raises(ValidationError, match=r"^backoff\.jitter: "):
        Backoff.fixed(1, jitter=jitter)
    with pytest.raises(ValidationError, match=r"^backoff\.jitter: "):
        JobOptions.of({"backoff": {"delay": 1, "jitter": jitter}})


@pytest.mark.parametrize("kind", ["", None, 5, "\ud800", "x" * 256], ids=lambda k: repr(k)[:10])
def test_a_backoff_strategy_has_a_name(kind):
    with pytest.raises(ValidationError, match=r"^backoff\.(kind|type): "):
        JobOptions.of({"backoff": {"type": kind}})


@pytest.mark.parametrize("delay", [-1, "x", float("inf"), None], ids=repr)
def test_a_backoff_has_a_delay_that_can_be(delay):
    with pytest.raises(ValidationError, match=r"^backoff\.delay: "):
        JobOptions.of({"backoff": {"type": "fixed", "delay": delay}})


def test_a_backoff_made_by_hand_is_held_to_the_same_rules():
    with pytest.raises(ValidationError, match=r"^backoff\.delay"):
        Backoff("fixed", -5)


def test_an_unknown_field_of_a_backoff_is_answered_with_the_near_one():
    with pytest.raises(
        ValidationError, match=r"backoff\.delya: unknown option; did you mean 'delay'"
    ):
        JobOptions.of({"backoff": {"delya": 1}})


def test_a_backoff_is_also_written_as_a_mapping_or_a_duration():
    assert Backoff.parse({"type": "exponential", "delay": 2, "cap": "1m", "jitter": 0.5}) == (
        Backoff.exponential(2, cap=60, jitter=0.5)
    )
    assert Backoff.parse("5s") == Backoff.fixed(5)
    assert Backoff.parse({"delay": 1}) == Backoff.fixed(1)


def test_only_a_name_of_ones_own_is_a_custom_backoff():
    assert Backoff.custom("slow").is_custom
    assert not Backoff.fixed(1).is_custom
    assert not Backoff.exponential(1).is_custom


@pytest.mark.parametrize("name", ["fixed", "exponential"])
def test_a_custom_backoff_cannot_have_the_name_of_torils_own(name):
    with pytest.raises(ValidationError, match=r"^backoff\."):
        Backoff.custom(name)


# Deduplication


@pytest.mark.parametrize("ttl", [0, -1, "x", None], ids=repr)
def test_a_key_is_held_for_a_time_that_can_be(ttl):
    with pytest.raises(ValidationError, match=r"^deduplication\.ttl: "):
        Deduplication.throttle(ttl)
    with pytest.raises(ValidationError, match=r"^deduplication\.ttl: "):
        Deduplication.debounce(ttl)


@pytest.mark.parametrize("ttl_ms", [0, -5], ids=repr)
def test_a_deduplication_made_by_hand_is_held_to_the_same_rules(ttl_ms):
    with pytest.raises(ValidationError, match=r"^deduplication\.ttl"):
        JobOptions.of({"deduplication": Deduplication("key", ttl_ms)})


def test_a_debounce_without_a_time_is_refused():
    with pytest.raises(ValidationError, match=r"^deduplication\.ttl"):
        JobOptions.of({"deduplication": Deduplication("key", replace=True)})


@pytest.mark.parametrize("key", ["", "x" * 256, 5, "\ud800"], ids=lambda k: repr(k)[:10])
def test_a_deduplication_key_is_text_of_1_to_255_characters(key):
    with pytest.raises(ValidationError, match=r"^deduplication\.key: "):
        JobOptions.of({"deduplication": Deduplication.simple(key)})


def test_a_debounced_job_waits_as_long_as_its_key_is_held():
    options = JobOptions.of({"deduplication": Deduplication.debounce("5s")})

    assert options.delay_ms == 5000


def test_a_debounced_job_may_have_a_delay_of_its_own():
    options = JobOptions.of({"deduplication": Deduplication.debounce("5s"), "delay": 1})

    assert options.delay_ms == 1000


def test_a_debounced_job_cannot_be_scheduled():
    with pytest.raises(ValidationError, match="debounce needs delay"):
        JobOptions.of({"deduplication": Deduplication.debounce(5), "scheduled_at": 1.0})


# As objects


@pytest.mark.parametrize(
    ("option", "field"),
    [
        (JobOptions(), "priority"),
        (Backoff.fixed(1), "delay_ms"),
        (Keep(1), "count"),
        (RateLimit(1, per=1), "max"),
        (Deduplication.simple("key"), "key"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_options_cannot_be_changed_once_they_are_made(option, field):
    with pytest.raises(AttributeError):
        setattr(option, field, 5)
