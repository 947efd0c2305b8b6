"""Schedules: made, changed, removed, and carried on with each job of theirs that is taken."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, NamedTuple

from msgspec.structs import replace

from toril.engine.base import AddStatus, ScheduleInfo
from toril.engine.sqlite import events, queue_rows
from toril.engine.sqlite.hot_path import add
from toril.engine.sqlite.queries import load
from toril.engine.sqlite.storage.transaction import Transaction, as_json
from toril.errors import ConflictError, ValidationError
from toril.model import repeating
from toril.model.codec import decode_options, encode_options
from toril.model.job import Lease, NewJob, QueueRef
from toril.model.schedule import STOPPED, Schedule

_sql = load("schedule")
_remove_jobs = load("exchange")["remove"]

_logger = logging.getLogger("toril.engine")

_TRIES = 1000


class _Standing(NamedTuple):
    """A schedule as the store has it.

    Attributes:
        schedule: The schedule.
        options_json: Its jobs' options as stored.
        next_ms: When its newest job is due, or was.
        job_id: That job, until it is taken; None then if no further one comes.
        made: The jobs it has made since it was last changed.
        iterations: The jobs it has made.
    """

    schedule: Schedule
    options_json: str
    next_ms: int
    job_id: str | None
    made: int
    iterations: int


def _read(row: Sequence[Any]) -> _Standing:
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
    return _Standing(schedule, options, *state)


def _find(tx: Transaction, line: queue_rows.Line, schedule_id: str) -> _Standing | None:
    row = tx.row(_sql["find"], queue=line.id, id=schedule_id)
    return None if row is None else _read(row)


def upsert(tx: Transaction, queue: QueueRef, schedule: Schedule) -> int:
    """Make or change a schedule; see `Engine.upsert_schedule`."""
    line = queue_rows.make(tx, queue)
    before = _find(tx, line, schedule.id)
    due = schedule.first_after(tx.now)
    if before is not None:
        due = _kept_time(before, schedule, tx.now) or due
        _remove_carrier(tx, line, before)
    options = encode_options(schedule.options)
    due = _add_turn(tx, line, schedule, options, due)
    tx.run(
        _sql["put"],
        queue=line.id,
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
        iterations=1 if before is None else before.iterations,
    )
    return due


def _kept_time(before: _Standing, schedule: Schedule, now: int) -> int | None:
    """Return the next time of an interval that stays as it was; None if it begins anew."""
    rule = before.schedule
    if schedule.every_ms is None or schedule.every_ms != rule.every_ms:
        return None
    if schedule.start_ms != rule.start_ms:
        return None
    if schedule.offset_ms is not None and before.next_ms % schedule.every_ms != schedule.offset_ms:
        return None
    if before.job_id is None:
        return schedule.following(before.next_ms, now)
    end = schedule.end_ms
    return before.next_ms if end is None or before.next_ms <= end else None


def _remove_carrier(tx: Transaction, line: queue_rows.Line, standing: _Standing) -> bool:
    """Remove the job that carries a schedule on; return whether there was one."""
    if standing.job_id is None:
        return False
    seq = tx.value(_sql["job_seq"], queue=line.id, id=standing.job_id)
    tx.run(_remove_jobs, seqs=as_json([seq]))
    return True


def _add_turn(
    tx: Transaction, line: queue_rows.Line, schedule: Schedule, options: str, due: int | None
) -> int:
    """Add a schedule's job, at the first time from one on that has none; return the time."""
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
        (added,) = add.add(tx, line.ref, [job], None)
        if added.status is AddStatus.CREATED:
            return due
        due = schedule.following(due, due)
    raise ConflictError(f"the next times of schedule {schedule.id!r} have jobs already")


def remove(tx: Transaction, queue: QueueRef, schedule_id: str) -> bool:
    """Remove a schedule and its next job; return whether it was there."""
    line = queue_rows.require(tx, queue)
    before = _find(tx, line, schedule_id)
    if before is None:
        return False
    if before.job_id is not None and _remove_carrier(tx, line, before):
        events.event(tx, line, "removed", [before.job_id])
    tx.run(_sql["remove"], queue=line.id, id=schedule_id)
    return True


def every(tx: Transaction, queue: QueueRef) -> list[ScheduleInfo]:
    """Return a queue's schedules, the one with the next job first."""
    line = queue_rows.require(tx, queue)
    found = [_read(row) for row in tx.rows(_sql["all"], queue=line.id)]
    return [ScheduleInfo(one.schedule, one.next_ms, one.iterations) for one in found]


def advance(tx: Transaction, line: queue_rows.Line, leases: Sequence[Lease]) -> None:
    """Make the next jobs of the schedules whose jobs have just been taken."""
    for lease in leases:
        turn = repeating.turn_of(lease.id)
        standing = None if turn is None else _find(tx, line, turn.schedule_id)
        if standing is not None and standing.job_id == lease.id:
            _advance(tx, line, standing)


def _advance(tx: Transaction, line: queue_rows.Line, standing: _Standing) -> None:
    schedule = standing.schedule
    try:
        due = schedule.following(standing.next_ms, tx.now)
        if due is not None and (schedule.limit is None or standing.made < schedule.limit):
            due = _add_turn(tx, line, schedule, standing.options_json, due)
        else:
            due = None
    except (ValidationError, ConflictError) as error:
        _logger.error(STOPPED, schedule.id, str(line.ref), error)  # noqa: TRY400 - no bug of ours
        due = None
    if due is None:
        tx.run(_sql["end"], queue=line.id, id=schedule.id)
        return
    tx.run(
        _sql["advance"],
        queue=line.id,
        id=schedule.id,
        next_at=due,
        job_id=repeating.job_id(schedule.id, due),
    )


def carriers(tx: Transaction, line: queue_rows.Line, ids: Sequence[str]) -> set[str]:
    """Return which of these jobs carry a schedule on, and so must not go."""
    turns = [one for one in ids if one.startswith(repeating.PREFIX)]
    return set(tx.set_of(_sql["carriers"], queue=line.id, ids=as_json(turns))) if turns else set()


def made_by_schedules(tx: Transaction, line: queue_rows.Line, ids: Sequence[str]) -> set[str]:
    """Return which of these jobs a schedule made that is there."""
    turns = {one: turn.schedule_id for one in ids if (turn := repeating.turn_of(one))}
    if not turns:
        return set()
    known = set(tx.set_of(_sql["known"], queue=line.id, ids=as_json(list(turns.values()))))
    return {one for one, schedule_id in turns.items() if schedule_id in known}
