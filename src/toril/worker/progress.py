"""Collects progress and log lines from running handlers and stores them in batches."""

from __future__ import annotations

import asyncio
import threading

from toril.engine.contract.engine import Engine
from toril.engine.contract.hot_path import Note
from toril.errors import EngineError
from toril.model.job import Lease, QueueRef
from toril.printable import logger

_logger = logger("toril.worker")

FLUSH_SECONDS = 0.1


class Reports:
    """Collects progress and log lines from any thread. Only a job's latest progress is stored."""

    def __init__(self, engine: Engine, loop: asyncio.AbstractEventLoop) -> None:
        """Create a collector.

        Args:
            engine: Stores the reports.
            loop: The worker's event loop.
        """
        self._engine = engine
        self._loop = loop
        self._lock = threading.Lock()
        self._progress: dict[QueueRef, dict[str, tuple[Lease, str]]] = {}
        self._lines: dict[QueueRef, dict[str, tuple[Lease, list[str]]]] = {}
        self._scheduled = False
        self._flushes: set[asyncio.Task[None]] = set()

    def progress(self, lease: Lease, progress_json: str) -> None:
        """Collect a handler's latest progress."""
        with self._lock:
            self._progress.setdefault(lease.queue, {})[lease.id] = (lease, progress_json)
            self._schedule()

    def line(self, lease: Lease, text: str) -> None:
        """Collect a log line from a handler."""
        with self._lock:
            _, lines = self._lines.setdefault(lease.queue, {}).setdefault(lease.id, (lease, []))
            lines.append(text)
            self._schedule()

    def pending(self, queue: QueueRef) -> bool:
        """Whether there are reports from this queue's jobs that have not been stored yet."""
        return queue in self._progress or queue in self._lines

    async def flush(self, queue: QueueRef) -> None:
        """Store a queue's reports now, so that they precede the settlements of their jobs."""
        with self._lock:
            progress = self._progress.pop(queue, {})
            lines = self._lines.pop(queue, {})
        notes = [Note(lease, progress_json=value) for lease, value in progress.values()]
        notes += [Note(lease, lines=texts) for lease, texts in lines.values()]
        if notes:
            try:
                await self._engine.note(queue, notes)
            except EngineError as error:
                _logger.warning("lost %d reports from jobs in %s: %s", len(notes), queue, error)

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon_threadsafe(self._loop.call_later, FLUSH_SECONDS, self._flush_all)

    def _flush_all(self) -> None:
        with self._lock:
            self._scheduled = False
            queues = self._progress.keys() | self._lines.keys()
        for queue in queues:
            task = self._loop.create_task(self.flush(queue))
            self._flushes.add(task)
            task.add_done_callback(self._flushes.discard)
