"""Queues: settings, counts, and operations on whole queues."""

from __future__ import annotations

from collections.abc import Sequence

from toril.engine.contract.events import EventKind
from toril.engine.contract.queues import QueueInfo, QueueOverview
from toril.engine.contract.rules import (
    CHUNK,
    MOST_SWEEPS,
    PRODUCER_IDLE_MS,
    check_cleanable,
    jobs_are_active,
)
from toril.engine.sqlite import (
    counters,
    event_log,
    job_rows,
    keyed_lanes,
    queue_rows,
    registration,
)
from toril.engine.sqlite.queries import load
from toril.engine.sqlite.storage.storage import Storage
from toril.engine.sqlite.storage.transaction import Transaction
from toril.model.job import QueueRef
from toril.model.limits import NO_LIMITS, Limits
from toril.model.state import FINAL, JobState

_sql = load("queues")


class SqliteQueues:
    """The queues of a SQLite store; see `Queues` in the contract."""

    def __init__(self, storage: Storage) -> None:
        """Use a storage.

        Args:
            storage: The engine's storage.
        """
        self._storage = storage

    async def register(
        self, queue: QueueRef, limits: Limits = NO_LIMITS, *, lasting: bool = False
    ) -> None:
        await self._storage.synced(registration.register, queue, limits, lasting=lasting)

    async def clear_limits(self, queue: QueueRef) -> None:
        await self._storage.synced(registration.clear, queue)

    async def all(self) -> list[QueueInfo]:
        return [q.info for q in await self._storage.read(queue_rows.every)]

    async def info(self, queue: QueueRef) -> QueueInfo | None:
        q = await self._storage.read(queue_rows.find, queue)
        return None if q is None else q.info

    async def counts(self, queue: QueueRef) -> dict[JobState, int]:
        return await self._storage.read(_counts, queue)

    async def overview(self, queues: Sequence[QueueRef], window_ms: int) -> list[QueueOverview]:
        return await self._storage.read(_overview, queues, window_ms)

    async def pause(self, queue: QueueRef) -> None:
        await self._storage.synced(_set_paused, queue, paused=True)

    async def resume(self, queue: QueueRef) -> None:
        await self._storage.synced(_set_paused, queue, paused=False)

    async def drain(self, queue: QueueRef, *, delayed: bool = False) -> int:
        return await self._storage.each_chunk(_remove_ready, queue, delayed=delayed)

    async def clean(
        self, queue: QueueRef, state: JobState, grace_ms: int, limit: int | None = None
    ) -> list[str]:
        check_cleanable(state)
        removed: list[str] = []
        while limit is None or len(removed) < limit:
            most = CHUNK if limit is None else min(CHUNK, limit - len(removed))
            some = await self._storage.synced(_remove_old, queue, state, grace_ms, most)
            removed += some
            if len(some) < most:
                break
        return removed

    async def sweep(self, queue: QueueRef) -> int:
        removed = 0
        for _ in range(MOST_SWEEPS):
            some = await self._storage.committed(_sweep, queue)
            removed += some
            if some < CHUNK:
                break
        return removed

    async def obliterate(self, queue: QueueRef, *, force: bool = False) -> int:
        return await self._storage.each_chunk(_obliterate, queue, force=force)


def _counts(tx: Transaction, queue: QueueRef) -> dict[JobState, int]:
    q = queue_rows.require(tx, queue)
    return queue_rows.counts(tx, [q])[q.id]


def _overview(tx: Transaction, queues: Sequence[QueueRef], window_ms: int) -> list[QueueOverview]:
    found = queue_rows.find_many(tx, list(dict.fromkeys(queues)))
    counts = queue_rows.counts(tx, found)
    windows = counters.windows(tx, found, window_ms)
    return [QueueOverview(q.info, counts[q.id], windows[q.id]) for q in found]


def _set_paused(tx: Transaction, queue: QueueRef, *, paused: bool) -> None:
    q = queue_rows.require(tx, queue)
    if bool(q.paused) == paused:
        return
    queue_rows.set_paused(tx, q, paused=paused)
    event_log.event(tx, q, EventKind.PAUSED if paused else EventKind.RESUMED, [""])
    tx.work.add(queue)


def _remove_ready(tx: Transaction, queue: QueueRef, *, delayed: bool) -> int:
    """Remove a chunk of the ready jobs, or of the delayed ones once no job is ready.

    Returns:
        How many jobs were removed.
    """
    q = queue_rows.require(tx, queue)
    jobs = tx.set_of(_sql["ready_seqs"], queue=q.id, limit=CHUNK)
    if not jobs and delayed:
        jobs = tx.set_of(_sql["delayed_seqs"], queue=q.id, limit=CHUNK)
    return len(job_rows.remove_by_hand(tx, q, jobs))


def _remove_old(
    tx: Transaction, queue: QueueRef, state: JobState, grace_ms: int, limit: int
) -> list[str]:
    q = queue_rows.require(tx, queue)
    query = _sql["finished_seqs" if state in FINAL else "old_seqs"]
    before = tx.now - grace_ms
    jobs = tx.set_of(query, queue=q.id, state=state, before=before, limit=limit)
    return job_rows.remove_by_hand(tx, q, jobs)


def _sweep(tx: Transaction, queue: QueueRef) -> int:
    """Remove a chunk of the finished jobs that are past their age; return how many.

    Also forgets the producers that have added nothing for a day.
    """
    q = queue_rows.find(tx, queue)
    if q is None:
        return 0
    before, after = tx.now - PRODUCER_IDLE_MS, tx.now + PRODUCER_IDLE_MS
    tx.run(_sql["idle_producers"], queue=q.id, before=before, after=after)
    seqs = tx.set_of(_sql["expired_records"], queue=q.id, now=tx.now, limit=CHUNK)
    if seqs:
        job_rows.remove(tx, seqs)
    return len(seqs)


def _obliterate(tx: Transaction, queue: QueueRef, *, force: bool) -> int:
    """Remove a chunk of a queue's jobs, or the queue itself once it has none.

    Returns:
        How many jobs were removed.
    """
    q = queue_rows.require(tx, queue)
    active = queue_rows.count(tx, q, JobState.ACTIVE)
    if active and not force:
        raise jobs_are_active(queue, active)
    jobs = tx.set_of(_sql["any_seqs"], queue=q.id, limit=CHUNK)
    if jobs:
        job_rows.remove(tx, [seq for seq, _ in jobs])
    else:
        keyed_lanes.leave(tx, q)
        queue_rows.forget(tx, q)
    return len(jobs)
