"""Looking now and then for work that no wake-up told of, for all idle queues in one query."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from toril.engine.sqlite import queue_rows
from toril.engine.sqlite.storage.storage import Storage
from toril.engine.sqlite.storage.wake import Topic
from toril.errors import EngineError
from toril.model.job import QueueRef


class Lookout:
    """Looks for lost wake-ups while somebody on this event loop waits for work."""

    def __init__(self, storage: Storage) -> None:
        """Prepare.

        Args:
            storage: The engine's storage.
        """
        self._storage = storage
        self._waiting: Counter[QueueRef] = Counter()
        self._timer: asyncio.TimerHandle | None = None
        self._looking: asyncio.Task[None] | None = None

    @contextmanager
    def watching(self, queue: QueueRef) -> Iterator[None]:
        """Look for work in a queue meanwhile.

        Args:
            queue: The queue.
        """
        self._waiting[queue] += 1
        if self._timer is None and self._looking is None:
            self._look_later()
        try:
            yield
        finally:
            self._waiting[queue] -= 1
            if not self._waiting[queue]:
                del self._waiting[queue]

    def _look_later(self) -> None:
        seconds = self._storage.wake.lost_after
        if seconds is not None and self._waiting:
            self._timer = asyncio.get_running_loop().call_later(seconds, self._start)

    def _start(self) -> None:
        self._timer = None
        if self._waiting:
            self._looking = asyncio.get_running_loop().create_task(self._look())

    async def _look(self) -> None:
        try:
            with suppress(EngineError):  # whoever works on a queue hears of it
                found = await self._storage.read(queue_rows.with_work, list(self._waiting))
                self._storage.wake.ring_here(Topic.WORK, found)
        finally:
            self._looking = None
        self._look_later()

    async def close(self) -> None:
        """Stop looking."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)
