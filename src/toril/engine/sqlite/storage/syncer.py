"""The thread that syncs commits to disk while the writer continues with the next ones.

Once the writer has committed, the change is in the log and survives the end of the process.
Durable calls must survive a loss of power too, so they return only after the log is synced. One
sync covers all commits before it.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import TypeAlias

from toril.engine.sqlite.storage.errors import translate_os
from toril.errors import EngineError

Flushed: TypeAlias = Callable[[EngineError | None], None]
"""Called in the syncer's thread with None once a commit is on disk, else with an error."""


class Syncer:
    """Syncs one log, as soon as possible, with as few syncs as possible."""

    def __init__(self, log: str) -> None:
        """Start the thread.

        Args:
            log: The write-ahead log. It is opened after the first commit.
        """
        self._log = log
        self._file: int | None = None
        self._commits: SimpleQueue[Flushed | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="toril-disk", daemon=True)
        self._thread.start()

    def sync(self, flushed: Flushed) -> None:
        """Flush everything committed so far to disk, then call a function.

        Args:
            flushed: The function.
        """
        self._commits.put(flushed)

    def close(self) -> None:
        """Sync the remaining commits and stop the thread."""
        self._commits.put(None)
        self._thread.join()

    def _run(self) -> None:
        running = True
        while running:
            waiting = self._take()
            running = waiting[-1] is not None
            calls = [flushed for flushed in waiting if flushed is not None]
            if calls:
                self._flush(calls)
        if self._file is not None:
            os.close(self._file)

    def _take(self) -> list[Flushed | None]:
        """Wait for a commit and take all that are queued. A final None stops the thread."""
        found = [self._commits.get()]
        with contextlib.suppress(Empty):
            while found[-1] is not None:
                found.append(self._commits.get_nowait())
        return found

    def _flush(self, calls: Sequence[Flushed]) -> None:
        error: EngineError | None = None
        try:
            self._sync()
        except OSError as found:
            error = translate_os(found, self._log)
            error.__cause__ = found
        for flushed in calls:
            flushed(error)

    def _sync(self) -> None:
        if self._file is None:
            # Opening and closing this file is safe: SQLite holds its locks on other files.
            self._file = os.open(self._log, os.O_RDWR | getattr(os, "O_CLOEXEC", 0))
        # The log's length matters but its timestamps do not. SQLite itself syncs like this.
        getattr(os, "fdatasync", os.fsync)(self._file)
