"""When cron patterns are due; tests/interop/test_cron.py holds them against BullMQ's reader."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from toril.errors import ValidationError
from toril.model.cron import cron_of

BERLIN = "Europe/Berlin"


def at(text, tz="UTC", *, fold=0):
    """Return a local time in milliseconds since 1970."""
    found = datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(tz), fold=fold)
    return round(found.timestamp() * 1000)


def times(pattern, start, n, tz="UTC"):
    """Return the first times after one at which a pattern is due."""
    cron, found, ms = cron_of(pattern, tz), [], start
    for _ in range(n):
        ms = cron.next_after(ms)
        found.append(ms)
    return found


@pytest.mark.parametrize(
    ("pattern", "start", "due"),
    [
        ("*/15 * * * *", "2025-01-01 00:00", "2025-01-01 00:15"),
        ("*/20 * * * * *", "2025-01-01 00:00:20", "2025-01-01 00:00:40"),
        ("0 9 * * MON-FRI", "2025-01-03 10:00", "2025-01-06 09:00"),
        ("0 9 L * *", "2025-02-01", "2025-02-28 09:00"),
        ("0 9 * * 5L", "2025-01-01", "2025-01-31 09:00"),
        ("0 9 * * mon#2", "2025-01-01", "2025-01-13 09:00"),
        ("0 9 13 * FRI", "2025-01-04", "2025-01-10 09:00"),  # either: as every cron has it
        ("0 9 */10 * 1", "2025-01-02", "2025-01-06 09:00"),  # a step narrows the days, too
        ("0 0 29 2 *", "2025-01-01", "2028-02-29 00:00"),
        ("5/25 * * * *", "2025-01-01 00:06", "2025-01-01 00:30"),
        ("0 0 ? * 7", "2025-01-01", "2025-01-05 00:00"),
        ("@daily", "2025-01-01 12:00", "2025-01-02 00:00"),
        ("@weekdays", "2025-01-03 12:00", "2025-01-06 00:00"),
    ],
)
def test_a_pattern_is_next_due(pattern, start, due):
    assert times(pattern, at(start), 1) == [at(due)]


def test_a_pattern_is_due_after_a_time_and_not_at_it():
    start = at("2025-01-01 00:00")
    assert times("0 0 * * *", start - 1, 2) == [start, start + 86_400_000]
    assert times("0 0 * * *", start, 1) == [start + 86_400_000]


def test_a_time_that_a_change_of_clocks_leaves_out_is_as_much_later():
    due = times("30 2 * * *", at("2025-03-29 12:00", BERLIN), 2, BERLIN)
    assert due == [at("2025-03-30 03:30", BERLIN), at("2025-03-31 02:30", BERLIN)]


def test_a_time_that_a_change_of_clocks_brings_twice_is_due_once():
    due = times("30 2 * * *", at("2025-10-25 12:00", BERLIN), 2, BERLIN)
    assert due == [at("2025-10-26 02:30", BERLIN), at("2025-10-27 02:30", BERLIN)]
    within = at("2025-10-26 02:10", BERLIN, fold=1)
    assert times("30 2 * * *", within, 1, BERLIN) == [at("2025-10-27 02:30", BERLIN)]


@pytest.mark.parametrize("day", ["2025-03-30 00:00", "2025-10-26 00:00"])
def test_what_is_due_in_every_hour_knows_no_change_of_clocks(day):
    start = at(day, BERLIN)
    due = times("*/30 * * * *", start, 12, BERLIN)
    assert due == [start + n * 1_800_000 for n in range(1, 13)]


def test_half_an_hours_change_of_clocks_leaves_nothing_out():
    zone = "Australia/Lord_Howe"
    start = at("2025-04-06 01:00", zone)
    assert times("*/30 * * * *", start, 6, zone) == [start + n * 1_800_000 for n in range(1, 7)]


def test_the_calendars_end_is_the_end():
    assert cron_of("0 0 1 1 *", "UTC").next_after(at("9999-12-31")) is None
    assert cron_of("0 0 1 1 *", "UTC").next_after(2**60) is None


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("", "must be text of 1 to 255 characters"),
        ("* * * *", "has 4 fields; give 5, or 6 with the seconds first"),
        ("0 0 1 1 * 2025 7", "has 7 fields"),
        ("60 * * * *", "'60' is not a valid minute; write 0-59"),
        ("* 24 * * *", "'24' is not a valid hour"),
        ("* * 0 * *", "'0' is not a valid day of the month; write 1-31"),
        ("* * * 13 *", "'13' is not a valid month"),
        ("* * * * 8", "'8' is not a valid day of the week"),
        ("* * * FOO *", "'FOO' is not a valid month"),
        ("5-1 * * * *", "'5-1' is not a valid minute"),
        ("*/0 * * * *", "is not a valid minute"),
        ("*-5 * * * *", "is not a valid minute"),
        ("1,,2 * * * *", "is not a valid minute"),
        ("1,1 * * * *", "names a minute twice"),
        ("* * * * 0,7", "names a day of the week twice"),
        ("H * * * *", "is not a valid minute"),  # BullMQ draws another one each time
        ("0 0 15W * *", "is not a valid day of the month"),
        ("0 0 LW * *", "is not a valid day of the month"),
        ("0 0 * * L", "is not a valid day of the week"),
        ("0 0 * * 1#2,3#1", "is not a valid day of the week"),
        ("0 0 * * 1#6", "is not a valid day of the week"),
        ("0 0 31 2 *", "is not a valid pattern"),
        ("@reboot", "has 1 fields"),
    ],
)
def test_a_pattern_that_the_two_sides_would_not_read_alike_is_refused(pattern, why):
    with pytest.raises(ValidationError, match=r"^cron: ") as caught:
        cron_of(pattern, "UTC")
    assert why in caught.value.message


@pytest.mark.parametrize("zone", ["Europe/Nowhere", "../etc/passwd", "Europe", "CEST", "/"])
def test_a_time_zone_that_is_not_known_is_refused(zone):
    with pytest.raises(ValidationError, match=r"^tz: .*is not a valid time zone; give one like"):
        cron_of("* * * * *", zone)
