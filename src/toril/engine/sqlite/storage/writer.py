"""The thread that owns the connection and groups calls into commits.

Calls queue up while a transaction commits, and the next transaction takes all of them, so they
share the cost of its commit. Commits that must be on disk are handed to the syncer, and the
next transaction begins in the meantime. A failing operation does not affect the others: the
transaction is rolled back, and each of its operations runs again in a transaction of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Concatenate, ParamSpec, TypeVar

import apsw

from toril.blocking import in_thread
from toril.clock import Clock
from toril.engine.contract.rules import is_closed
from toril.engine.sqlite.storage.call import Call, Durability, deliver
from toril.engine.sqlite.storage.connection import MEMORY
from toril.engine.sqlite.storage.errors import translate
from toril.engine.sqlite.storage.topic import Topic
from toril.engine.sqlite.storage.transaction import Operation, Registered, Transaction
from toril.engine.sqlite.storage.wake import Wake
from toril.engine.sqlite.storage.writer_thread import WriterThread
from toril.errors import EngineError
from toril.forks import warn_of_fork
from toril.model.job import QueueRef

P = ParamSpec("P")
R = TypeVar("R")


class Writer:
    """Runs operations on one connection in one thread, many per commit.

    Attributes:
        has_forked: Whether the store was open in the process that this one was forked from.
    """

    def __init__(
        self,
        path: str,
        location: str,
        clock: Clock,
        wake: Wake,
        *,
        create: bool,
        before_commit: Callable[[Transaction], None],
        registered: dict[QueueRef, Registered],
    ) -> None:
        """Create a writer without opening the file; `start` does that.

        Args:
            path: The store's file, or ":memory:".
            location: The store's URL.
            clock: The store's clock.
            wake: Notified after commits.
            create: Whether to create the file if it does not exist.
            before_commit: Called with each transaction, just before its commit.
            registered: The lasting limits by queue; transactions change it.
        """
        self._path = path
        self._location = location
        self._create = create
        self._before_commit = before_commit
        self._clock = clock
        self._wake = wake
        self._lock = threading.Lock()
        self._thread: WriterThread | None = None
        self._ready = False
        self._closed = False
        self._registered = registered
        self.has_forked = False

    async def start(self) -> None:
        """Start the thread and open the store, unless it is already open.

        Raises:
            EngineError: The store cannot be opened. A later call tries again.
        """
        with self._lock:
            if self._closed:
                raise is_closed(self._location)
            if self._thread is None:
                self._thread = WriterThread(
                    self._path,
                    create=self._create,
                    commit=self._commit,
                    closed=partial(is_closed, self._location),
                )
                if self.has_forked:
                    self.has_forked = False
                    warn_of_fork(self._location, is_shared=self._path != MEMORY)
            thread = self._thread
        try:
            await asyncio.shield(asyncio.wrap_future(thread.opened))
        except Exception:
            with self._lock:
                if self._thread is thread:
                    self._thread = None
            raise
        with self._lock:
            if self._closed:
                raise is_closed(self._location)
            self._ready = True

    @property
    def is_open(self) -> bool:
        """Whether the file is open, or about to be."""
        return self._thread is not None and not self._closed

    def pause(self) -> None:
        """Finish the current transaction and close the file, until `go_on`, for a fork."""
        if (thread := self._thread) is not None:
            thread.pause()

    def go_on(self) -> None:
        """Open the file again after a pause."""
        if (thread := self._thread) is not None:
            thread.go_on()

    async def stop(self) -> None:
        """Finish pending calls, close the file and stop the thread."""
        with self._lock:
            thread = self._thread
            self._ready, self._closed = False, True
            if thread is not None:
                thread.inbox.put(None)
        if thread is not None:
            await in_thread(thread.join)

    async def read(
        self,
        operation: Callable[Concatenate[Transaction, P], R],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """Run an operation that changes nothing, without taking the write lock."""
        result: R = await self._submit(operation, args, kwargs, Durability.READ)
        return result

    async def committed(
        self,
        operation: Callable[Concatenate[Transaction, P], R],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """Run an operation in the next transaction; return once it is committed.

        A loss of power may undo it. Use this for operations that can simply be repeated, such
        as a fetch.
        """
        result: R = await self._submit(operation, args, kwargs, Durability.COMMITTED)
        return result

    async def synced(
        self,
        operation: Callable[Concatenate[Transaction, P], R],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """Like `committed`, but return once the changes also survive a loss of power."""
        result: R = await self._submit(operation, args, kwargs, Durability.SYNCED)
        return result

    async def sync_later(
        self,
        operation: Callable[Concatenate[Transaction, P], R],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> tuple[R, asyncio.Future[Any]]:
        """Like `committed`, but also return a future for when it survives a loss of power.

        Returns:
            The result, and a future that resolves once the changes are on disk. The future fails
            if syncing fails.
        """
        if not self._ready:
            await self.start()
        call = Call(operation, args, kwargs, asyncio.get_running_loop(), Durability.SYNC_LATER)
        self._put(call)
        result: R = await call.future  # type: ignore[misc]
        return result, call.flushed  # type: ignore[return-value]

    def read_blocking(
        self,
        operation: Callable[Concatenate[Transaction, P], R],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """Like `read`, for threads that may block."""
        result: R = self._submit_blocking(operation, args, kwargs, Durability.READ)
        return result

    def committed_blocking(
        self,
        operation: Callable[Concatenate[Transaction, P], R],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """Like `committed`, for threads that may block."""
        result: R = self._submit_blocking(operation, args, kwargs, Durability.COMMITTED)
        return result

    def _submit_blocking(
        self,
        operation: Operation,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        durability: Durability,
    ) -> Any:
        call = Call(operation, args, kwargs, None, durability)
        self._put(call)
        return call.future.result()

    async def _submit(
        self,
        operation: Operation,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        durability: Durability,
    ) -> Any:
        if not self._ready:
            await self.start()
        call = Call(operation, args, kwargs, asyncio.get_running_loop(), durability)
        self._put(call)
        return await call.future  # type: ignore[misc]

    def _put(self, call: Call) -> None:
        with self._lock:  # no call may follow the None that stops the thread
            if not self._ready or self._thread is None:
                raise is_closed(self._location)
            self._thread.inbox.put(call)

    def _commit(self, connection: apsw.Connection, calls: list[Call]) -> None:
        durability = max(call.durability for call in calls)
        try:
            connection.execute(
                "BEGIN DEFERRED" if durability is Durability.READ else "BEGIN IMMEDIATE"
            )
        except apsw.Error as error:  # it would fail for each call alone, too
            _fail(calls, self._translated(error, connection.system_errno))
            return
        try:
            # Read the clock only now: other processes may have held the lock for a long time.
            transaction = Transaction(connection, self._clock.wall_ms(), self._registered)
            for call in calls:
                call.result = call.operation(transaction, *call.args, **call.kwargs)
            self._before_commit(transaction)
            connection.execute("COMMIT")
        except Exception as error:  # noqa: BLE001 - passed on to the caller
            errno = connection.system_errno
            _roll_back(connection)
            if len(calls) > 1:
                for call in calls:
                    self._commit(connection, [call])
            else:
                _fail(calls, self._translated(error, errno))
            return
        deliver([call for call in calls if call.durability is not Durability.SYNCED])
        to_flush = [call for call in calls if call.durability >= Durability.SYNC_LATER]
        thread = self._thread if to_flush else None
        if thread is None or thread.syncer is None or thread.files is None:
            self._flushed(to_flush, transaction)  # nothing waits, or the store is in memory
        else:
            thread.syncer.sync(partial(self._flushed, to_flush, transaction), thread.files)

    def _flushed(
        self, to_flush: Sequence[Call], transaction: Transaction, error: EngineError | None = None
    ) -> None:
        """Tell callers that a transaction is on disk, or why it may not be; then wake waiters."""
        for call in to_flush:
            call.flush_error = error
        # Resolve callers before waking waiters, so a job's producer is told before its worker.
        deliver(to_flush, Call.deliver_flush)
        self._wake.notify(Topic.WORK, transaction.work)
        self._wake.notify(Topic.EVENT, transaction.events)

    def _translated(self, error: Exception, errno: int) -> Exception:
        if not isinstance(error, apsw.Error):
            return error
        ours = translate(error, self._path, errno)
        ours.__cause__ = error
        return ours


def _fail(calls: Sequence[Call], error: Exception) -> None:
    for call in calls:
        call.error = error
    deliver(calls)


def _roll_back(connection: apsw.Connection) -> None:
    if connection.in_transaction:  # on a full disk SQLite rolls back by itself
        with contextlib.suppress(apsw.Error):
            connection.execute("ROLLBACK")
