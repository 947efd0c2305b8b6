"""Schedules: the rules by which jobs are added repeatedly."""

from __future__ import annotations

import msgspec

from toril.errors import ValidationError
from toril.model.checks import check_integer, check_name, check_text
from toril.model.cron import cron_of
from toril.model.durations import LATEST, LATEST_MS, check_due_ms
from toril.model.job import DEFAULT_NAME
from toril.model.job_options import DEFAULT_OPTIONS, JobOptions

DEFAULT_TZ = "UTC"
_LAST_END_MS = 253_402_300_799_000  # the end of the year 9999; nothing waits for it

STOPPED = "schedule %r of queue %r has stopped: %s; upsert it again with a valid rule"
"""The log message for a schedule that cannot continue: its id, its queue, and why."""


class Schedule(msgspec.Struct, frozen=True, kw_only=True):
    """Adds a job repeatedly, by a cron pattern or an interval. Create one with `Schedule.of`.

    Attributes:
        id: The schedule's id, unique in its queue.
        cron: The cron pattern; see `Cron`.
        every_ms: The interval between two jobs, in milliseconds, instead of a pattern.
        tz: The pattern's time zone.
        start_ms: No job is due before this time, in milliseconds since 1970.
        end_ms: No job is due after this time, in milliseconds since 1970.
        limit: How many jobs the schedule creates; None means no limit.
        offset_ms: How long after each multiple of `every_ms` since 1970 a job is due, in
            milliseconds. Without an offset and a start, the first job is due at once.
        name: The name of the schedule's jobs.
        data: Their payload as JSON.
        options: Their options.
    """

    id: str
    cron: str | None = None
    every_ms: int | None = None
    tz: str = DEFAULT_TZ
    start_ms: int | None = None
    end_ms: int | None = None
    limit: int | None = None
    offset_ms: int | None = None
    name: str = DEFAULT_NAME
    data: str = "{}"
    options: JobOptions = DEFAULT_OPTIONS

    @classmethod
    def of(
        cls,
        id: str,  # noqa: A002 - as the attribute
        *,
        cron: str | None = None,
        every_ms: int | None = None,
        tz: str | None = None,
        start_ms: int | None = None,
        end_ms: int | None = None,
        limit: int | None = None,
        offset_ms: int | None = None,
        name: str = DEFAULT_NAME,
        data: str = "{}",
        options: JobOptions = DEFAULT_OPTIONS,
    ) -> Schedule:
        """Create a schedule. The arguments are its attributes.

        Raises:
            ValidationError: An argument is invalid; the error names it.
        """
        check_name(id, "id")
        check_text(name, "name")
        _check_rule(cron, every_ms, tz)
        if start_ms is not None:
            check_due_ms(check_integer(start_ms, "start_ms", 0), "start_ms")
        _check_number("end_ms", end_ms, 0, _LAST_END_MS)
        _check_number("limit", limit, 1, 2**53 - 1)
        _check_offset(offset_ms, every_ms, start_ms)
        _check_options(options)
        made = cls(
            id=id,
            cron=cron,
            every_ms=every_ms,
            tz=tz or DEFAULT_TZ,
            start_ms=start_ms,
            end_ms=end_ms,
            limit=limit,
            offset_ms=offset_ms,
            name=name,
            data=data,
            options=options,
        )
        made.first_after(start_ms or 0)
        return made

    def first_after(self, now_ms: int) -> int:
        """Return when the first job of a new schedule is due, in milliseconds since 1970.

        Args:
            now_ms: The current time, in milliseconds since 1970.

        Raises:
            ValidationError: No job would ever be due.
        """
        begun = self.start_ms is None or self.start_ms <= now_ms
        at_once = self.every_ms is not None and begun and not self.offset_ms
        due = self._until_end(now_ms) if at_once else self.next_after(now_ms)
        if due is None:
            if self.end_ms is None:
                rule = "every_ms" if self.cron is None else "cron"
                raise ValidationError(rule, f"no job would be due before {LATEST}")
            raise ValidationError("end_ms", f"{self.end_ms} is before the first job would be due")
        return due

    def following(self, due_ms: int, now_ms: int) -> int | None:
        """Return when the job after another is due, skipping missed runs; None if there is none.

        Args:
            due_ms: When the other job was due, in milliseconds since 1970.
            now_ms: The current time, in milliseconds since 1970.
        """
        by_clock = self.next_by_clock(due_ms, now_ms)
        if by_clock is not None:
            return by_clock
        if self.every_ms and due_ms + self.every_ms >= now_ms:
            return self._until_end(due_ms + self.every_ms)
        return self.next_after(max(due_ms, now_ms), grid_ms=due_ms)

    def next_by_clock(self, due_ms: int, now_ms: int) -> int | None:
        """Return when a job is next due if the clock was set back since a due time was computed.

        Args:
            due_ms: The due time, in milliseconds since 1970.
            now_ms: The current time, in milliseconds since 1970.

        Returns:
            The time; None if the due time is no more than one turn of the schedule ahead.
        """
        if due_ms <= now_ms:
            return None
        due = self.next_after(now_ms, grid_ms=due_ms)
        return due if due is not None and due < due_ms else None

    def next_after(self, ms: int, *, grid_ms: int | None = None) -> int | None:
        """Return when a job is next due after a time; None if no further job is due.

        Args:
            ms: The time, in milliseconds since 1970.
            grid_ms: A due time of an interval's job, past or future. All other due times are
                multiples of the interval away from it. Defaults to the start or the offset.
        """
        if self.cron is not None:
            due = cron_of(self.cron, self.tz).next_after(max(ms, self.start_ms or 0))
        else:
            due = self._interval_after(ms, grid_ms)
        return self._until_end(due)

    def _interval_after(self, ms: int, grid_ms: int | None) -> int | None:
        if not self.every_ms:
            return None
        if self.start_ms is not None and ms < self.start_ms:
            return self.start_ms
        grid = grid_ms or self.start_ms or self.offset_ms or 0
        return ms + self.every_ms - (ms - grid) % self.every_ms

    def _until_end(self, due_ms: int | None) -> int | None:
        end = LATEST_MS if self.end_ms is None else min(self.end_ms, LATEST_MS)
        return None if due_ms is None or due_ms > end else due_ms


def _check_rule(cron: str | None, every_ms: int | None, tz: str | None) -> None:
    if (cron is None) == (every_ms is None):
        raise ValidationError("cron", "give either cron or every_ms")
    if cron is not None:
        cron_of(cron, DEFAULT_TZ if tz is None else tz)
    elif tz is not None:
        raise ValidationError("tz", "a time zone applies to cron, not to every_ms; leave it out")
    _check_number("every_ms", every_ms, 1, LATEST_MS)


def _check_number(field: str, value: int | None, least: int, most: int) -> None:
    if value is not None:
        check_integer(value, field, least, most)


def _check_offset(offset_ms: int | None, every_ms: int | None, start_ms: int | None) -> None:
    if offset_ms is None:
        return
    if every_ms is None:
        raise ValidationError(
            "offset_ms", "an offset applies to every_ms, not to cron; leave it out"
        )
    if start_ms is not None:
        raise ValidationError("offset_ms", "give either start_ms or offset_ms, not both")
    _check_number("offset_ms", offset_ms, 0, every_ms - 1)


def _check_options(options: JobOptions) -> None:
    taken = {
        "job_id": options.job_id is not None,
        "delay": bool(options.delay_ms),
        "scheduled_at": options.scheduled_ms is not None,
        "deduplication": options.deduplication is not None,
    }
    for name, is_given in taken.items():
        if is_given:
            raise ValidationError(f"options.{name}", "is set by the schedule; leave it out")
