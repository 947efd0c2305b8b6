"""Natural batching: adds that arrive while a call is in flight share the next call.

Nothing waits for a timer. A single add is sent at once, and a hundred coroutines that each await
one add are as fast as a bulk add. If the store runs in another process and many adds are pending,
two calls are in flight, so that producers continue while the store processes the other call.
"""

from __future__ import annotations

import asyncio
from typing import cast

from toril.engine.contract.engine import Engine
from toril.engine.contract.hot_path import Added
from toril.model.job import NewJob, QueueRef

_MAX_JOBS = 1000
_MAX_BYTES = 4 << 20
_MAX_IN_FLIGHT = 2  # calls at once to a store in another process
_WORTH_A_CALL = 32  # pending jobs that justify a second call


class Batcher:
    """Collects one queue's adds on one event loop."""

    def __init__(self, engine: Engine, queue: QueueRef) -> None:
        """Create a batcher.

        Args:
            engine: Stores the jobs.
            queue: The queue.
        """
        self._engine = engine
        self._queue = queue
        self._waiting: list[tuple[NewJob, asyncio.Future[Added]]] = []
        self._max_in_flight = _MAX_IN_FLIGHT if engine.capabilities.remote else 1
        self._senders: set[asyncio.Task[None]] = set()
        self._ready = 0  # how many senders are about to take a batch

    async def add(self, job: NewJob) -> Added:
        """Add a job with the next call, and return once it is stored.

        Raises:
            EngineError: The call failed, for all jobs that shared it.
        """
        future: asyncio.Future[Added] = asyncio.get_running_loop().create_future()
        self._waiting.append((job, future))
        if not self._senders or (
            len(self._senders) < self._max_in_flight and len(self._waiting) >= _WORTH_A_CALL
        ):
            self._ready += 1
            self._senders.add(asyncio.create_task(self._send()))
        return await future

    async def _send(self) -> None:
        try:
            while self._waiting:
                batch = self._take()
                self._ready -= 1
                try:
                    await self._send_batch(batch)
                finally:
                    self._ready += 1
        finally:
            self._ready -= 1
            self._senders.discard(cast("asyncio.Task[None]", asyncio.current_task()))

    def _take(self) -> list[tuple[NewJob, asyncio.Future[Added]]]:
        size, most = 0, min(-(-len(self._waiting) // self._ready), _MAX_JOBS)
        for index, (job, _) in enumerate(self._waiting):
            size += len(job.data)
            if index == most or (size > _MAX_BYTES and index):
                taken, self._waiting = self._waiting[:index], self._waiting[index:]
                return taken
        taken, self._waiting = self._waiting, []
        return taken

    async def _send_batch(self, batch: list[tuple[NewJob, asyncio.Future[Added]]]) -> None:
        try:
            added = await self._engine.add(self._queue, [job for job, _ in batch])
        except BaseException as error:
            for _, future in batch:
                if not future.done():
                    future.set_exception(_copy_of(error))
            if not isinstance(error, Exception):
                raise
            return
        for (_, future), answer in zip(batch, added, strict=True):
            if not future.done():
                future.set_result(answer)


def _copy_of(error: BaseException) -> BaseException:
    """Return a copy of an error, so that its waiters do not share one traceback."""
    if not isinstance(error, Exception):
        return asyncio.CancelledError()
    try:
        copy = type(error)(*error.args)
    except TypeError:
        return error
    copy.__cause__ = error
    return copy
