"""Schedule rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from toril.engine.sqlite.queries import load
from toril.engine.sqlite.queue_rows import QueueRow
from toril.engine.sqlite.storage.transaction import Transaction, as_json
from toril.model import repeating
from toril.model.job_options import decode_options
from toril.model.schedule import Schedule

_sql = load("schedule_rows")


class ScheduleRow(NamedTuple):
    """A schedule as stored.

    Attributes:
        schedule: The schedule.
        options_json: The options of its jobs, as stored.
        next_ms: When its newest job is or was due, in milliseconds since 1970.
        job_id: The id of that job while it is pending; None if no further job will come.
        made: How many jobs the schedule has created since it was last changed.
        iterations: How many jobs the schedule has created.
    """

    schedule: Schedule
    options_json: str
    next_ms: int
    job_id: str | None
    made: int
    iterations: int


def read(row: Sequence[Any]) -> ScheduleRow:
    """Build a schedule row from a row of the query `find`."""
    schedule_id, cron, every, tz, start, end, limit, offset, name, data, options, *state = row
    schedule = Schedule(
        id=schedule_id,
        cron=cron,
        every_ms=every,
        tz=tz,
        start_ms=start,
        end_ms=end,
        limit=limit,
        offset_ms=offset,
        name=name,
        data=data,
        options=decode_options(options),
    )
    return ScheduleRow(schedule, options, *state)


def find(tx: Transaction, q: QueueRow, schedule_id: str) -> ScheduleRow | None:
    """Return a schedule; None if it does not exist."""
    row = tx.row(_sql["find"], queue=q.id, id=schedule_id)
    return None if row is None else read(row)


def every(tx: Transaction, q: QueueRow) -> list[ScheduleRow]:
    """Return a queue's schedules, in the order in which their jobs are due."""
    return [read(row) for row in tx.rows(_sql["all"], queue=q.id)]


def put(
    tx: Transaction, q: QueueRow, schedule: Schedule, options: str, *, due: int, iterations: int
) -> None:
    """Store a schedule whose first job is due at `due`, in milliseconds since 1970."""
    tx.run(
        _sql["put"],
        queue=q.id,
        id=schedule.id,
        cron=schedule.cron,
        every_ms=schedule.every_ms,
        tz=schedule.tz,
        start_at=schedule.start_ms,
        end_at=schedule.end_ms,
        max_jobs=schedule.limit,
        offset_ms=None if schedule.every_ms is None else due % schedule.every_ms,
        name=schedule.name,
        data=schedule.data,
        options=options,
        next_at=due,
        job_id=repeating.job_id(schedule.id, due),
        iterations=iterations,
    )


def set_next(tx: Transaction, q: QueueRow, schedule: Schedule, due: int | None) -> None:
    """Record when a schedule's next job is due; None ends the schedule."""
    if due is None:
        tx.run(_sql["end"], queue=q.id, id=schedule.id)
        return
    job_id = repeating.job_id(schedule.id, due)
    tx.run(_sql["advance"], queue=q.id, id=schedule.id, next_at=due, job_id=job_id)


def remove(tx: Transaction, q: QueueRow, schedule_id: str) -> None:
    """Remove a schedule, but not its pending job."""
    tx.run(_sql["remove"], queue=q.id, id=schedule_id)


def job_seq(tx: Transaction, q: QueueRow, job_id: str) -> int:
    """Return the row id of a schedule's pending job."""
    seq: int = tx.value(_sql["job_seq"], queue=q.id, id=job_id)
    return seq


def pending_jobs(tx: Transaction, q: QueueRow, ids: Sequence[str]) -> set[str]:
    """Return which of these jobs are pending jobs of schedules, which must not be removed."""
    made = [job_id for job_id in ids if job_id.startswith(repeating.PREFIX)]
    return set(tx.set_of(_sql["pending_jobs"], queue=q.id, ids=as_json(made))) if made else set()


def made_by_schedules(tx: Transaction, q: QueueRow, ids: Sequence[str]) -> set[str]:
    """Return which of these jobs were created by schedules that still exist."""
    turns = {one: turn.schedule_id for one in ids if (turn := repeating.turn_of(one))}
    if not turns:
        return set()
    known = set(tx.set_of(_sql["known"], queue=q.id, ids=as_json(list(turns.values()))))
    return {one for one, schedule_id in turns.items() if schedule_id in known}
