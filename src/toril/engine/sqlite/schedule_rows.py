"""The schedules' own rows."""

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
    """A schedule as the store has it.

    Attributes:
        schedule: The schedule.
        options_json: Its jobs' options as stored.
        next_ms: When its newest job is due, or was.
        job_id: That job, while it is pending; None if no further one comes.
        made: The jobs it has made since it was last changed.
        iterations: The jobs it has made.
    """

    schedule: Schedule
    options_json: str
    next_ms: int
    job_id: str | None
    made: int
    iterations: int


def read(row: Sequence[Any]) -> ScheduleRow:
    """Read a row of the query `find`."""
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
    """Return a queue's schedules, the one whose job is due first at the front."""
    return [read(row) for row in tx.rows(_sql["all"], queue=q.id)]


def put(
    tx: Transaction, q: QueueRow, schedule: Schedule, options: str, *, due: int, iterations: int
) -> None:
    """Store a schedule whose first job is due at a time."""
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


def carry_on(tx: Transaction, q: QueueRow, schedule: Schedule, due: int | None) -> None:
    """Note when a schedule's next job is due; None ends it."""
    if due is None:
        tx.run(_sql["end"], queue=q.id, id=schedule.id)
        return
    job_id = repeating.job_id(schedule.id, due)
    tx.run(_sql["advance"], queue=q.id, id=schedule.id, next_at=due, job_id=job_id)


def remove(tx: Transaction, q: QueueRow, schedule_id: str) -> None:
    """Remove a schedule, but not its pending job."""
    tx.run(_sql["remove"], queue=q.id, id=schedule_id)


def job_seq(tx: Transaction, q: QueueRow, job_id: str) -> int:
    """Return the row of a schedule's pending job."""
    seq: int = tx.value(_sql["job_seq"], queue=q.id, id=job_id)
    return seq


def carriers(tx: Transaction, q: QueueRow, ids: Sequence[str]) -> set[str]:
    """Return which of these jobs are pending jobs of schedules, and must stay."""
    turns = [one for one in ids if one.startswith(repeating.PREFIX)]
    return set(tx.set_of(_sql["carriers"], queue=q.id, ids=as_json(turns))) if turns else set()


def made_by_schedules(tx: Transaction, q: QueueRow, ids: Sequence[str]) -> set[str]:
    """Return which of these jobs were made by schedules that still exist."""
    turns = {one: turn.schedule_id for one in ids if (turn := repeating.turn_of(one))}
    if not turns:
        return set()
    known = set(tx.set_of(_sql["known"], queue=q.id, ids=as_json(list(turns.values()))))
    return {one for one, schedule_id in turns.items() if schedule_id in known}
