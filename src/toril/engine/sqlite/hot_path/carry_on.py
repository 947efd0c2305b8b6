"""Carrying schedules on: picking up a schedule's job creates the next one."""

from __future__ import annotations

import logging
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

_logger = logging.getLogger("toril.engine")

_TRIES = 1000


def advance(tx: Transaction, q: QueueRow, leases: Sequence[Lease]) -> None:
    """Create the next jobs of the schedules whose jobs have just been taken."""
    for lease in leases:
        turn = repeating.turn_of(lease.id)
        standing = None if turn is None else schedule_rows.find(tx, q, turn.schedule_id)
        if standing is not None and standing.job_id == lease.id:
            _advance(tx, q, standing)


def _advance(tx: Transaction, q: QueueRow, standing: ScheduleRow) -> None:
    schedule = standing.schedule
    try:
        due = schedule.following(standing.next_ms, tx.now)
        if due is not None and (schedule.limit is None or standing.made < schedule.limit):
            due = add_turn(tx, q, schedule, standing.options_json, due)
        else:
            due = None
    except (ValidationError, ConflictError) as error:
        _logger.error(STOPPED, schedule.id, str(q.ref), error)  # noqa: TRY400 - no bug of ours
        due = None
    schedule_rows.carry_on(tx, q, schedule, due)


def add_turn(
    tx: Transaction, q: QueueRow, schedule: Schedule, options: str, due: int | None
) -> int:
    """Add a schedule's job at the first time from one on that has none; return the time."""
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
        due = schedule.following(due, due)
    raise ConflictError(f"the next times of schedule {schedule.id!r} have jobs already")
