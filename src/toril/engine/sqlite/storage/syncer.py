"""The thread that brings commits to the disk, while the writer goes on with the next.

A commit is in the log when the writer has made it, and survives the end of the process. What
was promised has to survive a loss of power, too: who waits for it hears of it only after the
log was synced. One sync serves all commits that came before it.
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
"""Called in the syncer's thread when a commit is on the disk, or with why it may not be."""


class Syncer:
    """Syncs one log, as often as it can and as seldom as it may."""

    def __init__(self, log: str) -> None:
        """Start the thread.

        Args:
            log: The write-ahead log. It is opened when the first commit is in it.
        """
        self._log = log
        self._file: int | None = None
        self._commits: SimpleQueue[Flushed | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="toril-disk", daemon=True)
        self._thread.start()

    def sync(self, flushed: Flushed) -> None:
        """Bring all that was committed until now to the disk, then call a function.

        Args:
            flushed: The function.
        """
        self._commits.put(flushed)

    def close(self) -> None:
        """Sync what is left, and end the thread."""
        self._commits.put(None)
        self._thread.join()

    def _run(self) -> None:
        going_on = True
        while going_on:
            waiting = self._take()
            going_on = waiting[-1] is not None
            calls = [flushed for flushed in waiting if flushed is not None]
            if calls:
                self._serve(calls)
        if self._file is not None:
            os.close(self._file)

    def _take(self) -> list[Flushed | None]:
        """Wait for a commit, and take all that came with it; None is the last of all."""
        found = [self._commits.get()]
        with contextlib.suppress(Empty):
            while found[-1] is not None:
                found.append(self._commits.get_nowait())
        return found

    def _serve(self, calls: Sequence[Flushed]) -> None:
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
            # SQLite holds its locks on other files: to open and close this one is safe.
            self._file = os.open(self._log, os.O_RDWR | getattr(os, "O_CLOEXEC", 0))
        # The log's length counts, its times do not: as SQLite itself syncs.
        getattr(os, "fdatasync", os.fsync)(self._file)
