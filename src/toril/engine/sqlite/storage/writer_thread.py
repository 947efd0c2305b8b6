"""The life of the writer's thread and its connection: open, serve, pause for forks, close.

While the process forks, the thread pauses and the file is closed. SQLite forbids a child to use
or close a connection of its parent, and what the library remembers about the file's locks would
be wrong for a new connection of the child, too.
"""

from __future__ import annotations

import concurrent.futures
import threading
from collections.abc import Callable

import apsw

from toril.engine.sqlite.storage.call import Call, deliver
from toril.engine.sqlite.storage.connection import MEMORY, connect
from toril.engine.sqlite.storage.inbox import Inbox, Pause
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
        self.inbox = Inbox()
        self.opened: concurrent.futures.Future[None] = concurrent.futures.Future()
        self.syncer: Syncer | None = None
        self._thread = threading.Thread(target=self._run, name="toril-sqlite", daemon=True)
        try:
            self._thread.start()
        except RuntimeError as error:
            raise StoreUnavailableError(f"{path} cannot be opened: {error}") from error

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
            connection: apsw.Connection | None = self._open(create=self._create)
        except Exception as error:  # noqa: BLE001 - passed on to the caller
            self.opened.set_exception(error)
        else:
            self.opened.set_result(None)
            while connection is not None and (pause := self._serve(connection)) is not None:
                connection = self._make(pause, connection)
            if connection is not None:
                self._close(connection)
        left = self.inbox.take_rest()
        for call in left:
            call.error = self._closed()
        deliver(left)

    def _serve(self, connection: apsw.Connection) -> Pause | None:
        """Run calls until the thread is to pause, or to end."""
        while True:
            calls, then = self.inbox.take()
            if calls:
                self._commit(connection, calls)
            if not isinstance(then, Call):
                return then

    def _make(self, pause: Pause, connection: apsw.Connection) -> apsw.Connection | None:
        """Pause; return the connection to go on with, or None if the thread is to end."""
        if self._path == MEMORY:  # nobody shares it, and closing would empty it
            pause.begin()
            return connection
        self._close(connection)
        pause.begin()
        return self._reopen()

    def _open(self, *, create: bool) -> apsw.Connection:
        connection = connect(self._path, create=create)
        if self._path != MEMORY:
            try:
                self.syncer = Syncer(connection.filename_wal)
            except RuntimeError as error:  # the system has no more threads
                connection.close()
                raise StoreUnavailableError(f"{self._path} cannot be opened: {error}") from error
        return connection

    def _close(self, connection: apsw.Connection) -> None:
        if self.syncer is not None:
            self.syncer.close()
            self.syncer = None
        connection.close()

    def _reopen(self) -> apsw.Connection | None:
        """Open the file after a pause. As long as that fails, fail the calls that arrive."""
        while True:
            try:
                return self._open(create=False)
            except EngineError as error:
                calls, then = self.inbox.take()
                for call in calls:
                    call.error = type(error)(*error.args)
                deliver(calls)
                if then is None:
                    return None
                if isinstance(then, Pause):
                    then.begin()
