"""Checks now and then for work whose wake-up was lost, for all idle queues in one query."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from toril.engine.sqlite import queue_rows
from toril.engine.sqlite.storage.storage import Storage
from toril.engine.sqlite.storage.topic import Topic
from toril.errors import EngineError
from toril.model.job import QueueRef


class SafetyCheck:
    """Makes up for lost wake-ups while a worker on this event loop waits for work."""

    def __init__(self, storage: Storage) -> None:
        """Use a storage. Checks begin with the first wait.

        Args:
            storage: The engine's storage.
        """
        self._storage = storage
        self._waiting: Counter[QueueRef] = Counter()
        self._timer: asyncio.TimerHandle | None = None
        self._checking: asyncio.Task[None] | None = None

    @contextmanager
    def watching(self, queue: QueueRef) -> Iterator[None]:
        """Check a queue for work while the context is open.

        Args:
            queue: The queue.
        """
        self._waiting[queue] += 1
        if self._timer is None and self._checking is None:
            self._check_later()
        try:
            yield
        finally:
            self._waiting[queue] -= 1
            if not self._waiting[queue]:
                del self._waiting[queue]

    def _check_later(self) -> None:
        seconds = self._storage.wake.lost_after
        if seconds is not None and self._waiting:
            self._timer = asyncio.get_running_loop().call_later(seconds, self._start)

    def _start(self) -> None:
        self._timer = None
        if self._waiting:
            self._checking = asyncio.get_running_loop().create_task(self._check())

    async def _check(self) -> None:
        try:
            with suppress(EngineError):  # the queue's worker sees the error itself
                found = await self._storage.read(queue_rows.with_work, list(self._waiting))
                self._storage.wake.notify_local(Topic.WORK, found)
        finally:
            self._checking = None
        self._check_later()

    async def close(self) -> None:
        """Stop checking."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._checking is not None:
            self._checking.cancel()
            await asyncio.gather(self._checking, return_exceptions=True)
