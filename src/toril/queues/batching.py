"""Natural batching: adds that arrive while one is away share the next call.

Nothing waits on a timer. A lone add goes out at once; a hundred coroutines that each
await one add reach the speed of bulk without knowing. Where many wait for a store that works
elsewhere, two calls are away: while it works on one, those whose adds were in the other go on.
"""

from __future__ import annotations

import asyncio
from typing import cast

from toril.engine.contract.engine import Engine
from toril.engine.contract.hot_path import Added
from toril.model.job import NewJob, QueueRef

_MOST_JOBS = 1000
_MOST_BYTES = 4 << 20
_MOST_AWAY = 2  # calls at once, to a store that works elsewhere
_WORTH_ITS_WAY = 32  # jobs, for a second call


class Batcher:
    """Collects one queue's adds on one event loop."""

    def __init__(self, engine: Engine, queue: QueueRef) -> None:
        """Prepare.

        Args:
            engine: Where jobs go.
            queue: The queue.
        """
        self._engine = engine
        self._queue = queue
        self._waiting: list[tuple[NewJob, asyncio.Future[Added]]] = []
        self._most_away = _MOST_AWAY if engine.capabilities.remote else 1
        self._senders: set[asyncio.Task[None]] = set()
        self._ready = 0  # of them, those that are about to take a batch

    async def add(self, job: NewJob) -> Added:
        """Add a job with the next call; return when it is stored.

        Raises:
            EngineError: The call failed, and with it all jobs that shared it.
        """
        future: asyncio.Future[Added] = asyncio.get_running_loop().create_future()
        self._waiting.append((job, future))
        if not self._senders or (
            len(self._senders) < self._most_away and len(self._waiting) >= _WORTH_ITS_WAY
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
                    await self._send_some(batch)
                finally:
                    self._ready += 1
        finally:
            self._ready -= 1
            self._senders.discard(cast("asyncio.Task[None]", asyncio.current_task()))

    def _take(self) -> list[tuple[NewJob, asyncio.Future[Added]]]:
        size, most = 0, min(-(-len(self._waiting) // self._ready), _MOST_JOBS)
        for place, (job, _) in enumerate(self._waiting):
            size += len(job.data)
            if place == most or (size > _MOST_BYTES and place):
                taken, self._waiting = self._waiting[:place], self._waiting[place:]
                return taken
        taken, self._waiting = self._waiting, []
        return taken

    async def _send_some(self, batch: list[tuple[NewJob, asyncio.Future[Added]]]) -> None:
        try:
            added = await self._engine.add(self._queue, [job for job, _ in batch])
        except BaseException as error:
            for _, future in batch:
                if not future.done():
                    future.set_exception(_for_each(error))
            if not isinstance(error, Exception):
                raise
            return
        for (_, future), answer in zip(batch, added, strict=True):
            if not future.done():
                future.set_result(answer)


def _for_each(error: BaseException) -> BaseException:
    """Return an error of which each waiter may change the traceback, without the others'."""
    if not isinstance(error, Exception):
        return asyncio.CancelledError()
    try:
        copy = type(error)(*error.args)
    except TypeError:
        return error
    copy.__cause__ = error
    return copy
