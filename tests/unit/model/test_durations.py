from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toril.errors import ValidationError
from toril.model.durations import from_epoch_ms, to_epoch_ms, to_ms


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, 0),
        (1, 1000),
        (0.25, 250),
        (timedelta(minutes=1, milliseconds=5), 60_005),
        ("250ms", 250),
        ("30s", 30_000),
        ("5m", 300_000),
        ("1h30m", 5_400_000),
        ("1.5h", 5_400_000),
        ("2d", 172_800_000),
        ("1w", 604_800_000),
        (" 1h 30m ", 5_400_000),
    ],
)
def test_a_duration_is_seconds_a_timedelta_or_text_with_units(value, expected):
    assert to_ms(value, "delay") == expected


@pytest.mark.parametrize(
    "value",
    [
        *(-1, -0.001, timedelta(seconds=-1)),
        *(float("nan"), float("inf"), 1e300, 10**400, "9" * 400 + "s"),
        *("", " ", "soon", "5", "5 parsecs", "-5s", "1h and 5m", "m5", "5mm", "s"),
        *(None, True, [], b"5s", ...),
    ],
    ids=repr,
)
def test_what_is_no_duration_is_refused_by_the_name_of_its_field(value):
    with pytest.raises(ValidationError, match=r"^delay: ") as caught:
        to_ms(value, "delay")

    assert caught.value.field == "delay"


def test_a_text_that_is_no_duration_is_answered_with_an_example():
    with pytest.raises(ValidationError, match='write it like "250ms", "30s"'):
        to_ms("half an hour", "delay")


@given(st.integers(0, 10**12))
def test_whole_milliseconds_survive_as_seconds_and_as_text(ms):
    assert to_ms(f"{ms}ms", "delay") == ms
    assert to_ms(timedelta(milliseconds=ms), "delay") == ms
    assert to_ms(ms / 1000, "delay") == ms


def test_a_point_in_time_is_a_datetime_with_a_zone_or_seconds_since_1970():
    moment = datetime(2030, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC)

    assert to_epoch_ms(moment, "scheduled_at") == 1_893_553_445_678
    assert to_epoch_ms(moment.astimezone(timezone(timedelta(hours=5))), "scheduled_at") == (
        1_893_553_445_678
    )
    assert to_epoch_ms(1_893_553_445.678, "scheduled_at") == 1_893_553_445_678


def test_a_datetime_without_a_zone_is_refused_with_the_way_out():
    with pytest.raises(ValidationError, match=r"scheduled_at: .*no time zone; give one"):
        to_epoch_ms(datetime(2030, 1, 1), "scheduled_at")  # noqa: DTZ001 - the mistake is the point


@pytest.mark.parametrize(
    "value", [None, True, "tomorrow", float("nan"), float("inf"), 1e300, 10**400], ids=repr
)
def test_what_is_no_point_in_time_is_refused(value):
    with pytest.raises(ValidationError, match=r"^scheduled_at: "):
        to_epoch_ms(value, "scheduled_at")


@given(st.datetimes(min_value=datetime(1970, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001
def test_a_point_in_time_survives_to_the_millisecond(moment):
    again = from_epoch_ms(to_epoch_ms(moment, "scheduled_at"))

    assert abs(again - moment) <= timedelta(milliseconds=1)
    assert again.tzinfo is UTC
