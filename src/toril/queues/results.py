"""Waiting for results: one follower of a queue's events, however many wait."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence

from toril.engine.base import Ending, Engine, EventRecord
from toril.model import codec
from toril.model.job import AttemptError, QueueRef
from toril.model.state import JobState

_REMOVED = None
_ENDINGS = frozenset({"completed", "failed", "removed"})
_LOOK_AGAIN_SECONDS = 5.0


class Results:
    """Tells the endings of one queue's jobs on one event loop."""

    def __init__(self, engine: Engine, queue: QueueRef) -> None:
        """Prepare.

        Args:
            engine: Where the jobs are.
            queue: The queue.
        """
        self._engine = engine
        self._queue = queue
        self._loop = asyncio.get_running_loop()
        self._waiting: defaultdict[str, list[asyncio.Future[Ending | None]]] = defaultdict(list)
        self._cursor: asyncio.Future[str] | None = None
        self._follower: asyncio.Task[None] | None = None

    async def of(self, job_id: str) -> Ending | None:
        """Return how a job ended, once it has; None where it is not there any more.

        Args:
            job_id: The job.
        """
        future: asyncio.Future[Ending | None] = asyncio.get_running_loop().create_future()
        self._waiting[job_id].append(future)
        try:
            await self._follow()
            # Looked at after the follower knows its place: an ending is seen here or there.
            known = await self._engine.endings(self._queue, [job_id])
            if job_id not in known:
                return _REMOVED
            return known[job_id] or await future
        finally:
            self._waiting[job_id].remove(future)
            if not self._waiting[job_id]:
                del self._waiting[job_id]

    async def _follow(self) -> None:
        if self._cursor is None or self._follower is None or self._follower.done():
            self._cursor = asyncio.get_running_loop().create_future()
            self._follower = asyncio.create_task(self._run(self._cursor))
        await asyncio.shield(self._cursor)

    async def _run(self, start: asyncio.Future[str]) -> None:
        try:
            _, cursor = await self._engine.events(self._queue, None)
            start.set_result(cursor)
            look_again = self._loop.time() + _LOOK_AGAIN_SECONDS
            while self._waiting:
                await self._engine.wait_event(self._queue, cursor, _LOOK_AGAIN_SECONDS)
                records, cursor = await self._engine.events(self._queue, cursor)
                await self._tell(records)
                if self._loop.time() >= look_again:
                    # The record keeps the newest events only: who was slow may have missed one.
                    look_again = self._loop.time() + _LOOK_AGAIN_SECONDS
                    await self._ask(list(self._waiting))
        except Exception as error:  # noqa: BLE001 - it belongs to those who wait
            if not start.done():
                start.set_exception(error)
            for futures in list(self._waiting.values()):
                for future in futures:
                    if not future.done():
                        future.set_exception(error)

    async def _tell(self, records: Sequence[EventRecord]) -> None:
        """Tell of endings among what happened.

        The store itself is asked, once for all: a job may have been run again since. Of those
        that left no record the event has to tell.
        """
        told: dict[str, EventRecord] = {}
        for record in records:
            if record.job_id in self._waiting and record.kind in _ENDINGS:
                if record.kind == "removed":
                    told.setdefault(record.job_id, record)
                else:
                    told[record.job_id] = record
        if not told:
            return
        known = await self._engine.endings(self._queue, list(told))
        for job_id, record in told.items():
            if job_id not in known:
                self._resolve(job_id, _ending_of(record))
            elif known[job_id] is not None:
                self._resolve(job_id, known[job_id])

    async def _ask(self, job_ids: Sequence[str]) -> None:
        """Ask the store itself how jobs ended."""
        known = await self._engine.endings(self._queue, job_ids)
        for job_id in job_ids:
            ending = known.get(job_id, _REMOVED)
            if ending is not None or job_id not in known:
                self._resolve(job_id, ending)

    def _resolve(self, job_id: str, ending: Ending | None) -> None:
        for future in self._waiting.get(job_id, ()):
            if not future.done():
                future.set_result(ending)


def _ending_of(record: EventRecord) -> Ending | None:
    match record.kind:
        case "completed":
            return Ending(JobState.COMPLETED, record.data)
        case "failed":
            kind, message = codec.decode(record.data or '["Error",""]')
            return Ending(JobState.FAILED, error=AttemptError(0, kind, message))
        case _:
            return _REMOVED
