"""Continues schedules: fetching a schedule's pending job creates the next one."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from toril.engine.contract.hot_path import AddStatus
from toril.engine.sqlite import schedule_rows
from toril.engine.sqlite.hot_path.add import add_all
from toril.engine.sqlite.queue_rows import QueueRow
from toril.engine.sqlite.schedule_rows import ScheduleRow
from toril.engine.sqlite.storage.transaction import Transaction
from toril.errors import ConflictError, ValidationError
from toril.model import repeating
from toril.model.job import Lease, NewJob
from toril.model.schedule import STOPPED, Schedule
from toril.printable import logger

_logger = logger("toril.engine")

_TRIES = 1000


def advance(tx: Transaction, q: QueueRow, leases: Sequence[Lease]) -> None:
    """Create the next jobs of the schedules whose pending jobs were just fetched."""
    for lease in leases:
        turn = repeating.turn_of(lease.id)
        row = None if turn is None else schedule_rows.find(tx, q, turn.schedule_id)
        if row is not None and row.job_id == lease.id:
            _advance(tx, q, row)


def _advance(tx: Transaction, q: QueueRow, row: ScheduleRow) -> None:
    schedule = row.schedule
    try:
        due = schedule.following(row.next_ms, tx.now)
        if due is not None and (schedule.limit is None or row.made < schedule.limit):
            due = add_turn(tx, q, schedule, row.options_json, due, before=row.next_ms)
        else:
            due = None
    except (ValidationError, ConflictError) as error:
        _logger.error(STOPPED, schedule.id, str(q.ref), error)  # noqa: TRY400 - no traceback: not a bug in Toril
        due = None
    schedule_rows.set_next(tx, q, schedule, due)


def add_turn(
    tx: Transaction,
    q: QueueRow,
    schedule: Schedule,
    options: str,
    due: int | None,
    *,
    before: int = 0,
) -> int:
    """Add a schedule's job at the first due time, from `due` on, that has no job yet.

    Args:
        tx: The transaction.
        q: The queue.
        schedule: The schedule.
        options: The job's options as stored.
        due: The first due time to try, in milliseconds since 1970; None if there is none.
        before: When the job before was due, in milliseconds since 1970. If the clock was set back
            and a job has `due` already, only later times than this one are free.

    Returns:
        The job's due time, in milliseconds since 1970.

    Raises:
        ConflictError: All due times that were tried already have a job.
    """
    for _ in range(_TRIES):
        if due is None:
            break
        job = NewJob(
            repeating.job_id(schedule.id, due),
            schedule.name,
            schedule.data,
            replace(schedule.options, scheduled_ms=due),
            options,
        )
        ((_, status),) = add_all(tx, q.ref, [job])
        if status is AddStatus.CREATED:
            return due
        due = max(due, before)
        due = schedule.following(due, due)
    raise ConflictError(f"the next times of schedule {schedule.id!r} have jobs already")
