"""Cron patterns, limited to those that mean the same in BullMQ and Toril.

BullMQ parses patterns with cron-parser, Toril with cronsim. A pattern that either of them
refuses, or that they interpret differently, is refused here; see
docs/adr/0021-cron-by-cronsim.md.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from toril.errors import ValidationError
from toril.model.checks import check_text

_ALIASES = {
    "@yearly": "0 0 0 1 1 *",
    "@annually": "0 0 0 1 1 *",
    "@monthly": "0 0 0 1 * *",
    "@weekly": "0 0 0 * * 0",
    "@daily": "0 0 0 * * *",
    "@hourly": "0 0 * * * *",
    "@minutely": "0 * * * * *",
    "@secondly": "* * * * * *",
    "@weekdays": "0 0 0 * * 1-5",
    "@weekends": "0 0 0 * * 0,6",
}


class _Field(NamedTuple):
    """A field's name, its smallest and largest value, and the names of its values by number."""

    name: str
    least: int
    most: int
    names: Sequence[str] = ()


_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_WEEKDAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_FIELDS = (
    _Field("second", 0, 59),
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of the month", 1, 31),
    _Field("month", 1, 12, ("", *_MONTHS)),
    _Field("day of the week", 0, 7, _WEEKDAYS),
)
_DAY, _WEEKDAY = 3, 5
_WEEKDAY_NAME = rf"(?:[0-7]|{'|'.join(_WEEKDAYS)})"
_NTH_WEEKDAY = re.compile(rf"{_WEEKDAY_NAME}#[1-5]")
_LAST_WEEKDAY = re.compile(rf"{_WEEKDAY_NAME}L")
_ITEM = re.compile(
    r"(?:\*|(?P<begin>\d{1,2}|[A-Z]{3})(?:-(?P<end>\d{1,2}|[A-Z]{3}))?)(?:/(?P<step>\d{1,2}))?"
)
_EVERY_HOUR = frozenset(range(24))
_SECOND = timedelta(seconds=1)


def _normal(pattern: str) -> str:
    """Return a pattern normalized to six fields, each a star or a list.

    Raises:
        ValidationError: The pattern is invalid, or BullMQ interprets it differently.
    """
    fields = _ALIASES.get(pattern, pattern).upper().split()
    if len(fields) == len(_FIELDS) - 1:
        fields.insert(0, "0")
    if len(fields) != len(_FIELDS):
        raise ValidationError(
            "cron", f"{pattern!r} has {len(fields)} fields; give 5, or 6 with the seconds first"
        )
    return " ".join(_normal_field(index, field) for index, field in enumerate(fields))


def _normal_field(index: int, field: str) -> str:
    """Return a field as a list of all values it stands for."""
    if field in {"*", "?"}:
        return "*"
    if index == _WEEKDAY and _NTH_WEEKDAY.fullmatch(field):
        return field  # only on its own: BullMQ does not accept a list of these
    values = [value for item in field.split(",") for value in _values(index, item)]
    if len(set(values)) < len(values):
        raise ValidationError(
            "cron", f"{field!r} names a {_FIELDS[index].name} twice; name each only once"
        )
    return ",".join(values)


def _values(index: int, item: str) -> list[str]:
    """Return the values that one item of a field's list stands for.

    Raises:
        ValidationError: The item is not one that both parsers understand.
    """
    name, least, most, names = _FIELDS[index]
    if (index == _DAY and item == "L") or (index == _WEEKDAY and _LAST_WEEKDAY.fullmatch(item)):
        return [item]
    found = _ITEM.fullmatch(item)
    first = last = -1
    if found:
        begin, end, step = found["begin"], found["end"], found["step"]
        first = _number(begin, names) if begin else least
        last = _number(end, names) if end else most if step or not begin else first
    if not found or not least <= first <= last <= most or found["step"] in {"0", "00"}:
        raise ValidationError(
            "cron",
            f"{item!r} is not a valid {name}; write {least}-{most}, *, a-b, /n, or a list of these",
        )
    numbers = range(first, last + 1, int(found["step"] or 1))
    return list(dict.fromkeys(str(n % 7 if index == _WEEKDAY else n) for n in numbers))


def _number(text: str, names: Sequence[str]) -> int:
    return int(text) if text.isdigit() else names.index(text) if text in names else -1


def _zone(name: str) -> ZoneInfo:
    check_text(name, "tz")
    try:
        return ZoneInfo(name)
    except (LookupError, ValueError, OSError):
        raise ValidationError(
            "tz", f"{name!r} is not a valid time zone; give one like 'Europe/Berlin' or 'UTC'"
        ) from None


class Cron:
    """A cron pattern in a time zone. Create one with `cron_of`."""

    __slots__ = ("_every_hour", "_pattern", "_zone")

    def __init__(self, pattern: str, tz: str) -> None:
        """Parse a pattern.

        Args:
            pattern: Five fields, or six with the seconds first, or a name like `@daily`.
            tz: The time zone's name.

        Raises:
            ValidationError: The pattern or the time zone is invalid.
        """
        self._zone = _zone(tz)
        self._pattern = _normal(check_text(pattern, "cron"))
        try:
            first = CronSim(self._pattern, datetime(2000, 1, 1))  # noqa: DTZ001 - any local time
            self._every_hour = first.hours == _EVERY_HOUR
            next(first)
        except CronSimError as error:
            raise ValidationError("cron", f"{pattern!r} is not a valid pattern: {error}") from None
        except StopIteration:
            raise ValidationError("cron", f"{pattern!r} is never due") from None

    def next_after(self, ms: int) -> int | None:
        """Return when the pattern is next due after a time, or None if it never is again.

        When clocks go forward, a skipped time is due later by as much as the clocks moved.
        When they go back, a repeated time is due only the first time; patterns that are due in
        every hour run both times.

        Args:
            ms: The time, in milliseconds since 1970.

        Returns:
            The next due time, in milliseconds since 1970.
        """
        try:
            start = datetime.fromtimestamp(ms // 1000, self._zone)
            found = self._by_elapsed(start) if self._every_hour else self._by_clock(start)
        except (StopIteration, OverflowError, ValueError, OSError):  # past the last date
            return None
        return round(found.timestamp() * 1000)

    def _by_elapsed(self, start: datetime) -> datetime:
        return next(CronSim(self._pattern, start))

    def _by_clock(self, start: datetime) -> datetime:
        least = start.astimezone(UTC) + _SECOND
        for due in CronSim(self._pattern, start.replace(tzinfo=None)):
            # A time skipped when clocks go forward is read with the offset from before.
            found = due.replace(tzinfo=self._zone).astimezone(UTC)
            if found >= least:
                return found
        raise StopIteration


@lru_cache(maxsize=1024)
def cron_of(pattern: str, tz: str) -> Cron:
    """Return the parsed pattern, from a cache if possible.

    Args:
        pattern: The pattern; see `Cron`.
        tz: The time zone's name.

    Raises:
        ValidationError: The pattern or the time zone is invalid.
    """
    return Cron(pattern, tz)
