"""The latest time, at the door."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from toril import Backoff, Deduplication, Keep, RateLimit, Retry, Snooze, ValidationError
from toril.cli.console import when
from toril.model.durations import (
    LATEST,
    LATEST_MS,
    from_epoch_ms,
    to_capped_ms,
    to_delay_ms,
    to_due_ms,
    to_ms,
)
from toril.model.job_options import JobOptions, decode_options
from toril.model.schedule import Schedule
from toril.worker.retry_delay import RetryDelays

CENTURY = timedelta(days=36_525)


def test_the_latest_time_is_the_last_that_a_score_of_bullmqs_holds_exactly():
    assert LATEST_MS * 0x1000 + 0xFFF < 2**53 <= (LATEST_MS + 1) * 0x1000 + 0xFFF
    assert from_epoch_ms(LATEST_MS) == datetime.fromisoformat(LATEST)


TOO_LATE = [
    ("scheduled_at", datetime.max.replace(tzinfo=UTC)),
    ("scheduled_at", datetime.max.replace(tzinfo=timezone(timedelta(hours=-12)))),
    ("scheduled_at", LATEST_MS / 1000 + 1),
    ("delay", CENTURY),
    ("delay", timedelta(days=365 * 40)),
    ("delay", timedelta.max),
    ("ttl", CENTURY),
    ("timeout", CENTURY),
]


@pytest.mark.parametrize(("field", "value"), TOO_LATE, ids=range(len(TOO_LATE)))
def test_what_ends_too_late_is_refused_with_the_greatest_value(field, value):
    with pytest.raises(ValidationError, match=rf"^{field}: .*(2039|69 years)") as caught:
        JobOptions.of({field: value})
    assert caught.value.field == field


def test_a_backoff_that_is_too_long_is_refused_with_the_greatest_value():
    with pytest.raises(ValidationError, match=r"^backoff.delay: .*69 years"):
        Backoff.fixed(CENTURY)
    with pytest.raises(ValidationError, match=r"^backoff.cap: .*69 years"):
        Backoff.exponential(1, cap=CENTURY)


TOO_MUCH = [
    lambda: JobOptions.of({"backoff": Backoff("fixed", 2**60)}),
    lambda: JobOptions.of({"backoff": Backoff("exponential", 1, 2**60)}),
    lambda: JobOptions.of({"deduplication": Deduplication("key", 2**60)}),
    lambda: Deduplication.throttle(CENTURY),
    lambda: Keep(age=CENTURY),
    lambda: RateLimit(1, per=CENTURY),
    lambda: RateLimit(1, per=3600, burst=10**9),
    lambda: Schedule.of("s", every_ms=LATEST_MS + 1),
    lambda: Schedule.of("s", every_ms=1, start_ms=LATEST_MS + 1),
    lambda: Schedule.of("s", cron="0 0 1 1 *", start_ms=LATEST_MS - 1_000),
]


@pytest.mark.parametrize("made", TOO_MUCH, ids=range(len(TOO_MUCH)))
def test_no_value_that_a_store_cannot_hold_gets_in(made):
    with pytest.raises(ValidationError):
        made()


def test_the_greatest_values_are_accepted():
    assert to_due_ms(LATEST_MS / 1000, "at") == to_ms(LATEST_MS / 1000, "for") == LATEST_MS
    assert to_delay_ms(timedelta(days=365), "delay") == 365 * 86_400_000


LONG = [CENTURY, float("inf"), 10**400, timedelta.max, "99999999w"]


@pytest.mark.parametrize("value", LONG, ids=range(len(LONG)))
def test_a_delay_that_a_handler_asks_for_is_capped(value):
    assert to_capped_ms(value, "delay") == LATEST_MS
    if value != 10**400:
        assert Snooze(value).delay_ms == Retry("later", after=value).after_ms == LATEST_MS


@pytest.mark.parametrize("value", [-1, float("nan"), "soon", None])
def test_a_delay_that_is_none_is_refused_all_the_same(value):
    with pytest.raises(ValidationError):
        to_capped_ms(value, "delay")


@pytest.mark.parametrize("made", [1, 50, 64, 10_000])
@pytest.mark.parametrize("backoff", [Backoff("exponential", 2**40), Backoff("fixed", 2**60)])
def test_no_backoff_is_longer_than_the_longest(made, backoff):
    assert 0 < backoff.delay_for(made) <= LATEST_MS


def test_a_strategys_delay_is_capped():
    delays = RetryDelays({"far": lambda _made, _error: float("inf")})
    options = JobOptions.of({"backoff": Backoff.custom("far")})
    assert delays(options, 1, None) == LATEST_MS


@pytest.mark.parametrize("ms", [10**15, 10**18, 2**70, -(10**18), 253_402_300_799_999])
def test_any_stored_time_can_be_shown(ms):
    assert from_epoch_ms(ms).tzinfo is UTC
    assert when(ms)


def test_options_of_other_programs_are_read_though_they_are_too_long():
    text = '{"attempts":3,"delay":9007199254740991,"removeOnComplete":{"age":9007199254740991}}'
    options = decode_options(text)
    assert options.delay_ms == 2**53 - 1
    assert options.keep_completed == Keep(age=LATEST_MS // 1000)
