"""What a schedule may be, and when its jobs are due."""

import pytest

from toril.errors import ValidationError
from toril.model.job_options import JobOptions
from toril.model.options import Deduplication
from toril.model.schedule import Schedule

HOUR = 3_600_000
DAY = 24 * HOUR
NOW = 1_750_000_030_000


@pytest.mark.parametrize(
    ("field", "rule"),
    [
        ("id", {"id": "a:b", "every_ms": 1}),
        ("id", {"id": "", "every_ms": 1}),
        ("name", {"name": "", "every_ms": 1}),
        ("cron", {}),
        ("cron", {"cron": "* * * * *", "every_ms": 1}),
        ("cron", {"cron": "often"}),
        ("tz", {"cron": "* * * * *", "tz": "Mars/Olympus"}),
        ("tz", {"every_ms": 1, "tz": "UTC"}),
        ("every_ms", {"every_ms": 0}),
        ("every_ms", {"every_ms": 1.5}),
        ("every_ms", {"every_ms": True}),
        ("start_ms", {"every_ms": 1, "start_ms": -1}),
        ("end_ms", {"every_ms": 1, "end_ms": "tomorrow"}),
        ("end_ms", {"every_ms": 1, "start_ms": 10, "end_ms": 9}),
        ("end_ms", {"cron": "0 0 1 1 *", "start_ms": NOW, "end_ms": NOW + HOUR}),
        ("limit", {"every_ms": 1, "limit": 0}),
        ("offset_ms", {"every_ms": 10, "offset_ms": 10}),
        ("offset_ms", {"every_ms": 10, "offset_ms": -1}),
        ("offset_ms", {"every_ms": 10, "offset_ms": 5, "start_ms": 3}),
        ("offset_ms", {"cron": "* * * * *", "offset_ms": 5}),
        ("options.delay", {"every_ms": 1, "options": JobOptions.of({"delay": 5})}),
        ("options.scheduled_at", {"every_ms": 1, "options": JobOptions.of({"scheduled_at": 5})}),
        ("options.job_id", {"every_ms": 1, "options": JobOptions.of({"job_id": "a"})}),
        (
            "options.deduplication",
            {"every_ms": 1, "options": JobOptions.of({"deduplication": Deduplication.simple()})},
        ),
    ],
)
def test_what_cannot_be_is_refused_with_the_fields_name(field, rule):
    with pytest.raises(ValidationError) as caught:
        Schedule.of(rule.pop("id", "s"), **rule)
    assert caught.value.field == field


def test_an_interval_begins_at_once_and_keeps_its_times():
    schedule = Schedule.of("s", every_ms=HOUR)
    assert schedule.first_after(NOW) == NOW
    assert schedule.following(NOW, NOW) == NOW + HOUR


def test_an_interval_leaves_out_what_was_missed():
    schedule = Schedule.of("s", every_ms=HOUR)
    assert schedule.following(NOW, NOW + HOUR) == NOW + HOUR
    assert schedule.following(NOW, NOW + HOUR + 1) == NOW + 2 * HOUR
    assert schedule.following(NOW, NOW + 9 * HOUR + 5) == NOW + 10 * HOUR


def test_a_job_that_was_taken_early_is_followed_by_the_one_after_it():
    interval = Schedule.of("s", every_ms=HOUR)
    assert interval.following(NOW + HOUR, NOW) == NOW + 2 * HOUR
    pattern = Schedule.of("s", cron="0 0 * * *")
    due = pattern.first_after(NOW)
    assert pattern.following(due, NOW) == due + DAY


def test_an_offset_counts_from_the_multiples_of_the_interval():
    schedule = Schedule.of("s", every_ms=HOUR, offset_ms=500)
    assert schedule.first_after(10 * HOUR + 499) == 10 * HOUR + 500
    assert schedule.first_after(10 * HOUR + 500) == 11 * HOUR + 500
    assert schedule.next_after(10 * HOUR) == 10 * HOUR + 500


def test_a_start_is_the_first_time_of_an_interval_and_a_pattern_is_due_after_it():
    assert Schedule.of("s", every_ms=HOUR, start_ms=NOW).first_after(NOW - DAY) == NOW
    assert Schedule.of("s", every_ms=HOUR, start_ms=NOW - DAY).first_after(NOW) == NOW
    pattern = Schedule.of("s", cron="0 0 * * *", start_ms=10 * DAY)
    assert pattern.first_after(3 * DAY) == 11 * DAY


def test_the_times_of_an_interval_with_a_start_go_on_from_it():
    schedule = Schedule.of("s", every_ms=HOUR, start_ms=NOW)
    assert [schedule.next_after(ms) for ms in (0, NOW, NOW + HOUR - 1)] == [
        NOW,
        NOW + HOUR,
        NOW + HOUR,
    ]


def test_nothing_is_due_after_the_end():
    schedule = Schedule.of("s", every_ms=HOUR, end_ms=NOW + HOUR)
    assert schedule.following(NOW, NOW) == NOW + HOUR
    assert schedule.following(NOW + HOUR, NOW + HOUR) is None
    with pytest.raises(ValidationError, match=r"end_ms: .* is before the first job would be due"):
        schedule.first_after(NOW + 2 * HOUR)
