"""Creates, replaces, removes and lists schedules."""

from __future__ import annotations

from toril.engine.contract.events import EventKind
from toril.engine.contract.schedules import ScheduleInfo
from toril.engine.sqlite import event_log, job_rows, queue_rows, registration, schedule_rows
from toril.engine.sqlite.hot_path import carry_on
from toril.engine.sqlite.queue_rows import QueueRow
from toril.engine.sqlite.schedule_rows import ScheduleRow
from toril.engine.sqlite.storage.storage import Storage
from toril.engine.sqlite.storage.transaction import Transaction
from toril.model.job import QueueRef
from toril.model.job_options import encode_options
from toril.model.schedule import Schedule


class SqliteSchedules:
    """The schedules of a SQLite store's queues; see `Schedules` in the contract."""

    def __init__(self, storage: Storage) -> None:
        """Use a storage.

        Args:
            storage: The engine's storage.
        """
        self._storage = storage

    async def upsert(self, queue: QueueRef, schedule: Schedule) -> int:
        return await self._storage.synced(_upsert, queue, schedule)

    async def remove(self, queue: QueueRef, schedule_id: str) -> bool:
        return await self._storage.synced(_remove, queue, schedule_id)

    async def all(self, queue: QueueRef) -> list[ScheduleInfo]:
        return await self._storage.read(_all, queue)


def _all(tx: Transaction, queue: QueueRef) -> list[ScheduleInfo]:
    found = schedule_rows.every(tx, queue_rows.require(tx, queue))
    return [ScheduleInfo(one.schedule, one.next_ms, one.iterations) for one in found]


def _upsert(tx: Transaction, queue: QueueRef, schedule: Schedule) -> int:
    q = registration.present(tx, queue)
    before = schedule_rows.find(tx, q, schedule.id)
    due = schedule.first_after(tx.now)
    if before is not None:
        due = _kept_time(before, schedule, tx.now) or due
        _remove_pending(tx, q, before)
    options = encode_options(schedule.options)
    due = carry_on.add_turn(tx, q, schedule, options, due)
    iterations = 1 if before is None else before.iterations
    schedule_rows.put(tx, q, schedule, options, due=due, iterations=iterations)
    return due


def _kept_time(before: ScheduleRow, schedule: Schedule, now: int) -> int | None:
    """Return the next due time of an unchanged interval; None if the interval starts over."""
    rule = before.schedule
    if schedule.every_ms is None or schedule.every_ms != rule.every_ms:
        return None
    if schedule.start_ms != rule.start_ms:
        return None
    if schedule.offset_ms is not None and before.next_ms % schedule.every_ms != schedule.offset_ms:
        return None
    if schedule.next_by_clock(before.next_ms, now) is not None:
        return None  # the clock was set back
    if before.job_id is None:
        return schedule.following(before.next_ms, now)
    end = schedule.end_ms
    return before.next_ms if end is None or before.next_ms <= end else None


def _remove_pending(tx: Transaction, q: QueueRow, row: ScheduleRow) -> bool:
    """Remove a schedule's pending job; return whether it had one."""
    if row.job_id is None:
        return False
    job_rows.remove(tx, [schedule_rows.job_seq(tx, q, row.job_id)])
    return True


def _remove(tx: Transaction, queue: QueueRef, schedule_id: str) -> bool:
    q = queue_rows.require(tx, queue)
    before = schedule_rows.find(tx, q, schedule_id)
    if before is None:
        return False
    if before.job_id is not None and _remove_pending(tx, q, before):
        event_log.event(tx, q, EventKind.REMOVED, [before.job_id])
    schedule_rows.remove(tx, q, schedule_id)
    return True
