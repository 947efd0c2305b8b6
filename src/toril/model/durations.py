"""Parsing of durations and points in time."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

from toril.clock import SystemClock
from toril.errors import ValidationError

Duration: TypeAlias = float | timedelta | str
"""Seconds as a number, a timedelta, or text of numbers with units: "250ms", "30s", "1h30m"."""

DEFAULT_GRACE: Duration = timedelta(days=1)
"""The default age from which cleaning a queue removes finished jobs: one day."""

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)\s*")
_LAST_SECOND = 253_402_300_799  # the end of the year 9999, the last that datetime supports
_SHOWN_MS = (-62_135_510_400_000, (_LAST_SECOND - 86_400) * 1000)
"""What datetime shows in every time zone: the years 1 to 9999, without their outermost days."""

LATEST_MS = 2**41 - 1
"""The latest time that a job can wait for, and the longest duration, in milliseconds.

In Redis, a delayed job's score is BullMQ's: its due time in ms · 4096, plus a turn. Scores are
doubles, which are exact up to 2^53, so the time must be below 2^41. Python's datetime, Node.js's
Date and SQLite's integers go further.
"""

LATEST = "2039-09-07T15:47:35.551Z"
"""`LATEST_MS`, for messages."""


def to_ms(value: Duration, field: str) -> int:
    """Return a duration in whole milliseconds.

    Args:
        value: Seconds, a timedelta, or text such as "30s", "5m", "1h30m", "250ms".
        field: The field name for the error.

    Returns:
        Milliseconds, rounded.

    Raises:
        ValidationError: The value is not a duration, or is negative, not finite, or longer
            than `LATEST_MS`.
    """
    seconds = _seconds(value, field)
    if not 0 <= seconds <= LATEST_MS / 1000:  # NaN fails this too
        raise ValidationError(
            field,
            f"{_shown(value)} is out of range; give 0 to {LATEST_MS // 1000:,} seconds (69 years)",
        )
    return round(seconds * 1000)


def to_delay_ms(value: Duration, field: str) -> int:
    """Return a delay from now in whole milliseconds.

    Args:
        value: A duration; see `to_ms`.
        field: The field name for the error.

    Raises:
        ValidationError: The value is not a duration, or ends after `LATEST_MS`.
    """
    delay = to_ms(value, field)
    left = LATEST_MS - SystemClock().wall_ms()
    if delay > left:
        raise ValidationError(
            field,
            f"{_shown(value)} ends after {LATEST}, the latest time that a job can wait for; "
            f"give at most {max(left, 0) // 1000:,} seconds",
        )
    return delay


def to_capped_ms(value: Duration, field: str) -> int:
    """Return a duration that a handler computed, in milliseconds: `LATEST_MS` if it is longer.

    Args:
        value: A duration; see `to_ms`.
        field: The field name for the error.

    Raises:
        ValidationError: The value is not a duration, or is negative.
    """
    return LATEST_MS if _seconds(value, field) > LATEST_MS / 1000 else to_ms(value, field)


def _shown(value: object) -> str:
    """Return a value as a message shows it: a number of thousand digits cannot be written out."""
    try:
        text = repr(value)
    except ValueError:
        return "the number"
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}…"


_MOST_SHOWN = 80  # characters


def _seconds(value: Duration, field: str) -> float:
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, str):
        return _parse(value, field)
    if not _is_number(value):
        raise ValidationError(
            field,
            f'{value!r} is not a valid duration; give seconds, a timedelta, or text like "30s"',
        )
    return value


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _parse(text: str, field: str) -> float:
    total, at = 0.0, 0
    stripped = text.strip()
    for part in _PART.finditer(stripped):
        if part.start() != at:
            break
        total += float(part[1]) * _UNITS[part[2]]
        at = part.end()
    if not stripped or at != len(stripped):
        raise ValidationError(
            field,
            f'{text!r} is not a valid duration; write it like "250ms", "30s", "5m", "1h30m" '
            'or "2d"',
        )
    return total


def to_epoch_ms(value: datetime | float, field: str) -> int:
    """Return a point in time as milliseconds since 1970 (UTC).

    Args:
        value: A datetime with a time zone, or seconds since 1970.
        field: The field name for the error.

    Returns:
        Milliseconds since 1970.

    Raises:
        ValidationError: The datetime has no time zone, or the value is not a point in time.
    """
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValidationError(
                field,
                f"{value.isoformat()} has no time zone; "
                "give one, for example datetime.now(timezone.utc)",
            )
        return round(value.timestamp() * 1000)
    if not _is_number(value) or not 0 <= value <= _LAST_SECOND:
        raise ValidationError(
            field, f"{value!r} is not a valid point in time; give a datetime or seconds since 1970"
        )
    return round(value * 1000)


def to_due_ms(value: datetime | float, field: str) -> int:
    """Return a point in time that a job can wait for, as milliseconds since 1970 (UTC).

    Args:
        value: A datetime with a time zone, or seconds since 1970.
        field: The field name for the error.

    Raises:
        ValidationError: The value is not a point in time, or is after `LATEST_MS`.
    """
    return check_due_ms(to_epoch_ms(value, field), field, value)


def check_due_ms(ms: int, field: str, value: object = None) -> int:
    """Return a point in time if a job can wait for it.

    Args:
        ms: The time, in milliseconds since 1970.
        field: The field name for the error.
        value: The time as the caller wrote it, for the error; defaults to `ms`.

    Raises:
        ValidationError: The time is after `LATEST_MS`.
    """
    if ms <= LATEST_MS:
        return ms
    given = value.isoformat() if isinstance(value, datetime) else _shown(value or ms)
    raise ValidationError(
        field,
        f"{given} is too late; the latest time that a job can wait for is {LATEST} "
        f"({LATEST_MS:,} ms since 1970)",
    )


def from_epoch_ms(value: int) -> datetime:
    """Convert milliseconds since 1970 to a datetime in UTC.

    Other programs may have stored any number: what datetime cannot show becomes the earliest or
    latest time that it can.
    """
    least, most = _SHOWN_MS
    return datetime.fromtimestamp(min(max(value, least), most) / 1000, tz=UTC)
