"""Schedules: what makes a job again and again, and when."""

from __future__ import annotations

import msgspec

from toril.errors import ValidationError
from toril.model.checks import check_name, check_text, is_integer
from toril.model.cron import cron_of
from toril.model.job import DEFAULT_NAME
from toril.model.job_options import DEFAULT_OPTIONS, JobOptions

DEFAULT_TZ = "UTC"
STOPPED = "schedule %r of queue %r has stopped: %s; make it again with a rule that is understood"
"""What the log is told of a schedule that cannot be carried on: its id, its queue, and why."""

_LATEST_MS = 253_402_300_799_000  # the year 9999


class Schedule(msgspec.Struct, frozen=True, kw_only=True):
    """What makes a job again and again. Make one with `Schedule.of`, which validates.

    Attributes:
        id: Its name in its queue.
        cron: The pattern by which it is due; see `Cron`.
        every_ms: The time between two jobs, in milliseconds, instead of a pattern.
        tz: The time zone of the pattern.
        start_ms: It makes none before this, in milliseconds since 1970; so all that end in _ms.
        end_ms: It makes none after this.
        limit: How many jobs it makes.
        offset_ms: How long after each multiple of `every_ms` since 1970 a job is due. Without it
            and without a start, the first job is due at once.
        name: What kind of work its jobs are.
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
        """Make a schedule; the arguments are its attributes.

        Raises:
            ValidationError: One of them is refused; the error names it.
        """
        check_name(id, "id")
        check_text(name, "name")
        _check_rule(cron, every_ms, tz)
        _check_number("start_ms", start_ms, 0, _LATEST_MS)
        _check_number("end_ms", end_ms, 0, _LATEST_MS)
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
        """Return when its first job is due, if it begins now.

        Args:
            now_ms: The time.

        Raises:
            ValidationError: None is due any more.
        """
        begun = self.start_ms is None or self.start_ms <= now_ms
        at_once = self.every_ms is not None and begun and not self.offset_ms
        due = self._until_end(now_ms) if at_once else self.next_after(now_ms)
        if due is None:
            raise ValidationError("end_ms", f"{self.end_ms} comes before its first job is due")
        return due

    def following(self, due_ms: int, now_ms: int) -> int | None:
        """Return when the job after another is due: those that were missed are left out.

        Args:
            due_ms: When the other was due.
            now_ms: The time.
        """
        if self.every_ms and due_ms + self.every_ms >= now_ms:
            return self._until_end(due_ms + self.every_ms)
        return self.next_after(max(due_ms, now_ms), grid_ms=due_ms)

    def next_after(self, ms: int, *, grid_ms: int | None = None) -> int | None:
        """Return the first time after another at which a job is due; None: there is none.

        Args:
            ms: The other time.
            grid_ms: A time at which a job of an interval was due, or is; others are multiples of
                the interval away from it. Without it the offset or the start says so.
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
        if due_ms is None or (self.end_ms is not None and due_ms > self.end_ms):
            return None
        return due_ms


def _check_rule(cron: str | None, every_ms: int | None, tz: str | None) -> None:
    if (cron is None) == (every_ms is None):
        raise ValidationError("cron", "give either cron or every_ms")
    if cron is not None:
        cron_of(cron, DEFAULT_TZ if tz is None else tz)
    elif tz is not None:
        raise ValidationError("tz", "a time zone goes with cron, not with every_ms")
    _check_number("every_ms", every_ms, 1, _LATEST_MS)


def _check_number(field: str, value: int | None, least: int, most: int) -> None:
    if value is not None and (not is_integer(value) or not least <= value <= most):
        raise ValidationError(field, f"{value!r} is not a whole number from {least} to {most}")


def _check_offset(offset_ms: int | None, every_ms: int | None, start_ms: int | None) -> None:
    if offset_ms is None:
        return
    if every_ms is None:
        raise ValidationError("offset_ms", "an offset goes with every_ms, not with cron")
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
            raise ValidationError(f"options.{name}", "the schedule decides it; leave it out")
