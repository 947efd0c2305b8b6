"""Waits for results, with one follower per event loop for all queues and waiters."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from weakref import WeakKeyDictionary

from toril.engine.contract.engine import Engine
from toril.engine.contract.events import EventKind, EventRecord, News
from toril.engine.contract.jobs import Ending
from toril.model import codec
from toril.model.job import AttemptError, QueueRef
from toril.model.state import JobState

_REMOVED = None
_ENDINGS = frozenset({EventKind.COMPLETED, EventKind.FAILED, EventKind.REMOVED})
_LOOK_AGAIN_SECONDS = 5.0


class Results:
    """Waits for the results of jobs in any queue of a store."""

    def __init__(self, store: Callable[[], Engine]) -> None:
        """Create the waiting side of a store.

        Args:
            store: Returns the engine; called only when the engine is needed.
        """
        self._store = store
        # Futures belong to one event loop, and the sync facade has its own loop.
        self._followers: WeakKeyDictionary[asyncio.AbstractEventLoop, _Follower] = (
            WeakKeyDictionary()
        )

    async def of(self, queue: QueueRef, job_id: str) -> Ending | None:
        """Wait until a job has finished and return how it ended; None if it no longer exists.

        Args:
            queue: The queue.
            job_id: The job's id.
        """
        loop = asyncio.get_running_loop()
        follower = self._followers.get(loop)
        if follower is None:
            follower = self._followers[loop] = _Follower(self._store)
        return await follower.of(queue, job_id)


class _Follower:
    """Follows the events of all queues with waiters, on one event loop."""

    def __init__(self, store: Callable[[], Engine]) -> None:
        self._store = store
        self._loop = asyncio.get_running_loop()
        self._waiting: defaultdict[QueueRef, defaultdict[str, list[asyncio.Future[Ending | None]]]]
        self._waiting = defaultdict(lambda: defaultdict(list))
        self._cursors: dict[QueueRef, str] = {}
        self._starting: dict[QueueRef, asyncio.Task[None]] = {}
        self._task: asyncio.Task[None] | None = None
        self._reading: asyncio.Task[Mapping[QueueRef, News]] | None = None

    async def of(self, queue: QueueRef, job_id: str) -> Ending | None:
        future: asyncio.Future[Ending | None] = self._loop.create_future()
        self._waiting[queue][job_id].append(future)
        try:
            await self._follow(queue)
            # Checked after the cursor is known, so that this or an event finds the ending.
            known = await self._store().jobs.endings(queue, [job_id])
            if job_id not in known:
                return _REMOVED
            return known[job_id] or await future
        finally:
            jobs = self._waiting[queue]
            jobs[job_id].remove(future)
            if not jobs[job_id]:
                del jobs[job_id]
            if not jobs:
                del self._waiting[queue]

    async def _follow(self, queue: QueueRef) -> None:
        if queue not in self._cursors:
            starting = self._starting.get(queue)
            if starting is None:
                starting = self._starting[queue] = self._loop.create_task(self._start(queue))
                starting.add_done_callback(lambda _: self._starting.pop(queue, None))
            await asyncio.shield(starting)
        if self._task is None:
            self._task = self._loop.create_task(self._run())

    async def _start(self, queue: QueueRef) -> None:
        tails = await self._store().events.tails([queue])
        self._cursors.update(tails)
        if self._reading is not None:  # restart the read, to include this queue
            self._reading.cancel()

    async def _run(self) -> None:
        look_again = self._loop.time() + _LOOK_AGAIN_SECONDS
        try:
            while self._waiting:
                await self._process(await self._read())
                if self._loop.time() >= look_again:
                    # The store keeps only the newest events, so a slow reader may miss some.
                    look_again = self._loop.time() + _LOOK_AGAIN_SECONDS
                    for queue in list(self._waiting):
                        await self._check(queue)
        except Exception as error:  # noqa: BLE001 - the waiters receive it
            self._fail(error)
        finally:
            self._cursors.clear()
            self._task = None

    async def _read(self) -> Mapping[QueueRef, News]:
        """Wait for new events of the queues with waiters, and return them."""
        for queue in [queue for queue in self._cursors if queue not in self._waiting]:
            del self._cursors[queue]
        events = self._store().events
        self._reading = self._loop.create_task(
            events.read(dict(self._cursors), timeout=_LOOK_AGAIN_SECONDS)
        )
        try:
            await asyncio.wait([self._reading])
            news = {} if self._reading.cancelled() else self._reading.result()
        finally:
            reading, self._reading = self._reading, None
            if not reading.done():
                reading.cancel()
                with suppress(asyncio.CancelledError):
                    await reading
            elif not reading.cancelled():
                reading.exception()  # retrieved, as asyncio would warn if this task was cancelled
        for queue, (_, cursor) in news.items():
            self._cursors[queue] = cursor
        return news

    async def _process(self, news: Mapping[QueueRef, News]) -> None:
        """Resolve the waiters of jobs whose events say that they have finished.

        The endings are read from the store, once for all jobs of a queue, because a job may have
        been retried since. Only if a job left no record, the ending is taken from its event.
        """
        for queue, (records, _) in news.items():
            ended = _endings_in(records, self._waiting.get(queue, {}))
            if not ended:
                continue
            known = await self._store().jobs.endings(queue, list(ended))
            for job_id, record in ended.items():
                if job_id not in known:
                    self._resolve(queue, job_id, _ending_of(record))
                elif known[job_id] is not None:
                    self._resolve(queue, job_id, known[job_id])

    async def _check(self, queue: QueueRef) -> None:
        """Resolve the waiters of a queue's finished jobs from the store, without events."""
        job_ids = list(self._waiting[queue]) if queue in self._waiting else []
        known = await self._store().jobs.endings(queue, job_ids)
        for job_id in job_ids:
            ending = known.get(job_id, _REMOVED)
            if ending is not None or job_id not in known:
                self._resolve(queue, job_id, ending)

    def _resolve(self, queue: QueueRef, job_id: str, ending: Ending | None) -> None:
        futures = self._waiting[queue].get(job_id, ()) if queue in self._waiting else ()
        for future in futures:
            if not future.done():
                future.set_result(ending)

    def _fail(self, error: Exception) -> None:
        for jobs in self._waiting.values():
            for future in (one for futures in jobs.values() for one in futures):
                if not future.done():
                    future.set_exception(error)


def _endings_in(
    records: Sequence[EventRecord], awaited: Mapping[str, object]
) -> dict[str, EventRecord]:
    """Return the last ending of each awaited job; a removal counts only if there is no other."""
    ended: dict[str, EventRecord] = {}
    for record in records:
        if record.job_id in awaited and record.kind in _ENDINGS:
            if record.kind is EventKind.REMOVED:
                ended.setdefault(record.job_id, record)
            else:
                ended[record.job_id] = record
    return ended


def _ending_of(record: EventRecord) -> Ending | None:
    match record.kind:
        case EventKind.COMPLETED:
            return Ending(JobState.COMPLETED, record.data)
        case EventKind.FAILED:
            kind, message = codec.decode(record.data or '["Error",""]')
            return Ending(JobState.FAILED, error=AttemptError(0, kind, message))
        case _:
            return _REMOVED
