"""Collects progress and log lines from running handlers and stores them in batches.

A handler may report faster than the store takes reports. So each job has room for a limited number
of lines, and further ones push out the oldest, as they would in the store.
"""

from __future__ import annotations

import asyncio
import threading
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence

from toril.engine.contract.engine import Engine
from toril.engine.contract.hot_path import Note
from toril.engine.contract.rules import KEPT_LINES
from toril.errors import EngineError
from toril.model.job import Lease, QueueRef
from toril.printable import logger

_logger = logger("toril.worker")

FLUSH_SECONDS = 0.1
_MAX_CHARACTERS = 4_000_000  # of one job's lines
_LINES_PER_CALL = 2_000  # so that a call keeps the store from others only briefly


class _Lines:
    """The lines of one job that are not stored yet."""

    __slots__ = ("_characters", "_dropped", "_texts", "lease")

    def __init__(self, lease: Lease) -> None:
        self.lease = lease
        self._texts: deque[str] = deque()
        self._characters = 0
        self._dropped = 0

    def add(self, text: str) -> None:
        self._texts.append(text)
        self._characters += len(text)
        while len(self._texts) > KEPT_LINES or self._characters > _MAX_CHARACTERS:
            self._characters -= len(self._texts.popleft())
            self._dropped += 1

    def notes(self) -> Iterator[Note]:
        """Return the lines in parts, preceded by how many are missing."""
        texts = list(self._texts)
        if self._dropped:
            texts[0] = f"… {self._dropped + 1:,} lines are missing: they came too fast to be stored"
        for first in range(0, len(texts), _LINES_PER_CALL):
            yield Note(self.lease, lines=texts[first : first + _LINES_PER_CALL])


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
        self._lines: dict[QueueRef, dict[str, _Lines]] = {}
        self._scheduled = False
        self._flushes: set[asyncio.Task[None]] = set()
        # One flush of a queue at a time: while the store is slow, reports wait here, where their
        # number is limited.
        self._flushing: defaultdict[QueueRef, asyncio.Lock] = defaultdict(asyncio.Lock)

    def progress(self, lease: Lease, progress_json: str) -> None:
        """Collect a handler's latest progress."""
        with self._lock:
            self._progress.setdefault(lease.queue, {})[lease.id] = (lease, progress_json)
            self._schedule()

    def line(self, lease: Lease, text: str) -> None:
        """Collect a log line from a handler."""
        with self._lock:
            jobs = self._lines.setdefault(lease.queue, {})
            lines = jobs.get(lease.id)
            if lines is None:
                lines = jobs[lease.id] = _Lines(lease)
            lines.add(text)
            self._schedule()

    def pending(self, queue: QueueRef) -> bool:
        """Whether there are reports from this queue's jobs that have not been stored yet."""
        return queue in self._progress or queue in self._lines or self._flushing[queue].locked()

    async def flush(self, queue: QueueRef) -> None:
        """Store a queue's reports now, so that they precede the settlements of their jobs."""
        async with self._flushing[queue]:
            with self._lock:
                progress = self._progress.pop(queue, {})
                lines = self._lines.pop(queue, {})
            notes = [Note(lease, progress_json=value) for lease, value in progress.values()]
            notes += [note for job in lines.values() for note in job.notes()]
            try:
                for part in _parts(notes):
                    await self._engine.note(queue, part)
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
            if self._flushing[queue].locked():
                with self._lock:
                    self._schedule()
                continue
            task = self._loop.create_task(self.flush(queue))
            self._flushes.add(task)
            task.add_done_callback(self._flushes.discard)


def _parts(notes: Sequence[Note]) -> Iterator[Sequence[Note]]:
    """Return the notes in parts of at most `_LINES_PER_CALL` lines."""
    part: list[Note] = []
    lines = 0
    for note in notes:
        if part and lines + len(note.lines) > _LINES_PER_CALL:
            yield part
            part, lines = [], 0
        part.append(note)
        lines += len(note.lines)
    if part:
        yield part
