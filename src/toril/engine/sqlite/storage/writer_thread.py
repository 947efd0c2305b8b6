"""The life of the writer's thread and its connection: open, serve, pause for forks, close.

While the process forks, the thread pauses and the file is closed. SQLite forbids a child to use
or close a connection of its parent, and what the library remembers about the file's locks would
be wrong for a new connection of the child, too.
"""

from __future__ import annotations

import concurrent.futures
import threading
from collections.abc import Callable, Sequence

import apsw

from toril.engine.sqlite.storage.call import Call, deliver
from toril.engine.sqlite.storage.connection import MEMORY
from toril.engine.sqlite.storage.inbox import Inbox, Pause
from toril.engine.sqlite.storage.store import Store
from toril.engine.sqlite.storage.store_files import StoreFiles
from toril.engine.sqlite.storage.syncer import Syncer
from toril.errors import EngineError, StoreUnavailableError


class WriterThread:
    """A thread that owns one connection and serves the calls in its inbox.

    Attributes:
        inbox: Takes calls, and None to end the thread.
        opened: Resolves when the file is open, or fails with the reason why it is not.
        syncer: Syncs the file's log; None in memory.
    """

    def __init__(
        self,
        path: str,
        *,
        create: bool,
        commit: Callable[[apsw.Connection, list[Call]], None],
        closed: Callable[[], StoreUnavailableError],
    ) -> None:
        """Start the thread, which opens the file.

        Args:
            path: The store's file, or ":memory:".
            create: Whether to create the file if it does not exist.
            commit: Runs calls in a transaction.
            closed: Returns the error for calls that come too late.

        Raises:
            StoreUnavailableError: The system has no more threads.
        """
        self._path = path
        self._create = create
        self._commit = commit
        self._closed = closed
        self._pause: Pause | None = None
        self._store = Store(path)
        self.inbox = Inbox()
        self.opened: concurrent.futures.Future[None] = concurrent.futures.Future()
        self.syncer: Syncer | None = None
        self._thread = threading.Thread(target=self._run, name="toril-sqlite", daemon=True)
        try:
            self._thread.start()
        except RuntimeError as error:
            raise StoreUnavailableError(f"{path} cannot be opened: {error}") from error

    @property
    def files(self) -> StoreFiles | None:
        """The open files; None if everything is in memory."""
        return self._store.files

    @property
    def is_alive(self) -> bool:
        """Whether the file is open, or about to be."""
        return self._thread.is_alive()

    def join(self) -> None:
        """Wait until the thread has ended."""
        self._thread.join()

    def pause(self) -> None:
        """Finish the current transaction and close the file, until `go_on`."""
        if self.is_alive and threading.current_thread() is not self._thread:
            self._pause = Pause()
            self.inbox.put(self._pause)
            self._pause.wait_until_it_begins()

    def go_on(self) -> None:
        """End the pause."""
        if self._pause is not None:
            self._pause.end()
            self._pause = None

    # In the thread

    def _run(self) -> None:
        try:
            self._open(create=self._create)
        except Exception as error:  # noqa: BLE001 - passed on to the caller
            self.opened.set_exception(error)
        else:
            self.opened.set_result(None)
            goes_on = True
            while goes_on and (pause := self._serve()) is not None:
                goes_on = self._make(pause)
            self._close()
        _fail(self.inbox.take_rest(), self._closed())

    def _serve(self) -> Pause | None:
        """Run calls until the thread is to pause, or to end."""
        while True:
            calls, then = self.inbox.take()
            if calls:
                try:
                    connection = self._store.connection()
                except EngineError as error:  # its file is lost
                    _fail(calls, error)
                else:
                    self._commit(connection, calls)
            if not isinstance(then, Call):
                return then

    def _make(self, pause: Pause) -> bool:
        """Pause; return whether the thread goes on."""
        if self._path == MEMORY:  # nobody shares it, and closing would empty it
            pause.begin()
            return True
        self._close()
        pause.begin()
        return self._reopen()

    def _open(self, *, create: bool) -> None:
        self._store.open(create=create)
        if self._store.files is not None:
            try:
                self.syncer = Syncer(self._path, self._store.files)
            except RuntimeError as error:  # the system has no more threads
                self._store.close()
                raise StoreUnavailableError(f"{self._path} cannot be opened: {error}") from error

    def _close(self) -> None:
        if self.syncer is not None:
            self.syncer.close()
            self.syncer = None
        self._store.close()

    def _reopen(self) -> bool:
        """Open the file after a pause. As long as that fails, fail the calls that arrive.

        Returns:
            Whether the thread goes on.
        """
        while True:
            try:
                self._open(create=False)
            except EngineError as error:
                calls, then = self.inbox.take()
                _fail(calls, error)
                if then is None:
                    return False
                if isinstance(then, Pause):
                    then.begin()
            else:
                return True


def _fail(calls: Sequence[Call], error: EngineError) -> None:
    for call in calls:
        call.error = type(error)(*error.args)
    deliver(calls)
