"""The thread that syncs commits to disk while the writer continues with the next ones.

Once the writer has committed, the change is in the log and survives the end of the process.
Durable calls must survive a loss of power too, so they return only after the log is synced, and if
the files at the paths are still those that were synced. One sync covers all commits before it.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Sequence
from itertools import groupby
from operator import itemgetter
from queue import Empty, SimpleQueue
from typing import TypeAlias

from toril.engine.sqlite.storage.errors import translate_os
from toril.engine.sqlite.storage.store_files import StoreFiles
from toril.errors import EngineError

Flushed: TypeAlias = Callable[[EngineError | None], None]
"""Called in the syncer's thread with None once a commit is on disk, else with an error."""

_Commit: TypeAlias = tuple[Flushed, StoreFiles]


class Syncer:
    """Syncs the log, as soon as possible, with as few syncs as possible."""

    def __init__(self, path: str, files: StoreFiles) -> None:
        """Start the thread.

        Args:
            path: The store's file, for messages.
            files: The open files of the first commit.
        """
        self._path = path
        self._files = files
        self._commits: SimpleQueue[_Commit | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="toril-disk", daemon=True)
        self._thread.start()

    def sync(self, flushed: Flushed, files: StoreFiles) -> None:
        """Flush everything committed so far to disk, then call a function.

        Args:
            flushed: The function.
            files: The open files that were written to.
        """
        self._commits.put((flushed, files))

    def close(self) -> None:
        """Sync the remaining commits and stop the thread."""
        self._commits.put(None)
        self._thread.join()

    def _run(self) -> None:
        running = True
        while running:
            waiting = self._take()
            running = waiting[-1] is not None
            commits = [commit for commit in waiting if commit is not None]
            for files, group in groupby(commits, key=itemgetter(1)):
                self._files = files
                self._flush([flushed for flushed, _ in group])

    def _take(self) -> list[_Commit | None]:
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
            self._files.verify()
        except OSError as found:
            error = translate_os(found, self._path)
            error.__cause__ = found
        except EngineError as found:
            error = found
        for flushed in calls:
            flushed(error)

    def _sync(self) -> None:
        # The log's length matters but its timestamps do not. SQLite itself syncs like this.
        getattr(os, "fdatasync", os.fsync)(self._files.log)
