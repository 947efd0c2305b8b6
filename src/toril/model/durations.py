"""Parsing of durations and points in time."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

from toril.errors import ValidationError

Duration: TypeAlias = float | timedelta | str
"""Seconds as a number, a timedelta, or text of numbers with units: "250ms", "30s", "1h30m"."""

DEFAULT_GRACE: Duration = timedelta(days=1)
"""The default age from which cleaning a queue removes finished jobs: one day."""

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)\s*")
_MAX_SECONDS = 1000 * 365.25 * 86_400  # a thousand years from now is still a valid date
_LAST_SECOND = 253_402_300_799  # the end of the year 9999, the last that datetime supports


def to_ms(value: Duration, field: str) -> int:
    """Return a duration in whole milliseconds.

    Args:
        value: Seconds, a timedelta, or text such as "30s", "5m", "1h30m", "250ms".
        field: The field name for the error.

    Returns:
        Milliseconds, rounded.

    Raises:
        ValidationError: The value is not a duration, or is negative, not finite, or longer
            than a thousand years.
    """
    seconds = _seconds(value, field)
    if not 0 <= seconds <= _MAX_SECONDS:  # NaN fails this too
        raise ValidationError(field, f"{value!r} is out of range; give 0 seconds or more")
    return round(seconds * 1000)


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


def from_epoch_ms(value: int) -> datetime:
    """Convert milliseconds since 1970 to a datetime in UTC."""
    return datetime.fromtimestamp(value / 1000, tz=UTC)
