"""The thread that owns the connection and groups calls into commits.

Calls queue up while a transaction commits, and the next transaction takes all of them, so they
share the cost of its commit. Commits that must be on disk are handed to the syncer, and the
next transaction begins in the meantime. A failing operation does not affect the others: the
transaction is rolled back, and each of its operations runs again in a transaction of its own.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import threading
from collections.abc import Callable, Sequence
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, Concatenate, ParamSpec, TypeVar

import apsw

from toril.clock import Clock
from toril.engine.sqlite.storage.call import Call, Durability, deliver
from toril.engine.sqlite.storage.errors import translate
from toril.engine.sqlite.storage.store import Store
from toril.engine.sqlite.storage.syncer import Syncer
from toril.engine.sqlite.storage.topic import Topic
from toril.engine.sqlite.storage.transaction import Operation, Registered, Transaction
from toril.engine.sqlite.storage.wake import Wake
from toril.errors import EngineError, StoreUnavailableError
from toril.model.job import QueueRef

P = ParamSpec("P")
R = TypeVar("R")

_MOST_CALLS = 500  # per commit


class Writer:
    """Runs operations on one connection in one thread, many per commit."""

    def __init__(
        self,
        path: str,
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
            clock: The store's clock.
            wake: Notified after commits.
            create: Whether to create the file if it does not exist.
            before_commit: Called with each transaction, just before its commit.
            registered: The lasting limits by queue; transactions change it.
        """
        self._path = path
        self._store = Store(path)
        self._syncer: Syncer | None = None
        self._create = create
        self._before_commit = before_commit
        self._clock = clock
        self._wake = wake
        self._calls: SimpleQueue[Call | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._opened: concurrent.futures.Future[None] | None = None
        self._ready = False
        self._closed = False
        self._registered = registered

    async def start(self) -> None:
        """Start the thread and open the store, unless it is already open.

        Raises:
            EngineError: The store cannot be opened. A later call tries again.
        """
        with self._lock:
            if self._closed:
                raise self._is_closed()
            if self._opened is None:
                self._opened = concurrent.futures.Future()
                self._thread = threading.Thread(
                    target=self._run, args=(self._opened,), name="toril-sqlite", daemon=True
                )
                self._thread.start()
            opened = self._opened
        try:
            await asyncio.shield(asyncio.wrap_future(opened))
        except Exception:
            with self._lock:
                if self._opened is opened:
                    self._opened = None
            raise
        self._ready = True

    async def stop(self) -> None:
        """Finish pending calls, close the file and stop the thread."""
        with self._lock:
            thread, self._thread = self._thread, None
            self._ready, self._closed = False, True
            if thread is not None:
                self._calls.put(None)
        if thread is not None:
            await asyncio.to_thread(thread.join)

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
            if not self._ready:
                raise self._is_closed()
            self._calls.put(call)

    def _is_closed(self) -> StoreUnavailableError:
        return StoreUnavailableError(f"{self._path} is closed; open the manager again")

    def _run(self, opened: concurrent.futures.Future[None]) -> None:
        try:
            self._store.open(create=self._create)
        except Exception as error:  # noqa: BLE001 - passed on to the caller of `start`
            opened.set_exception(error)
            return
        opened.set_result(None)
        with contextlib.closing(self._store):
            while calls := self._take():
                try:
                    connection = self._store.connection()
                except EngineError as error:  # its file is lost
                    _fail(calls, error)
                else:
                    self._commit(connection, calls)
            if self._syncer is not None:
                self._syncer.close()
        self._refuse_remaining()

    def _refuse_remaining(self) -> None:
        """Fail the calls that came too late, so that their callers do not wait forever."""
        left: list[Call] = []
        while not self._calls.empty():
            call = self._calls.get_nowait()
            if call is not None:
                call.error = self._is_closed()
                left.append(call)
        deliver(left)

    def _take(self) -> list[Call]:
        """Wait for a call and take all that are queued. An empty list stops the thread."""
        calls: list[Call] = []
        call = self._calls.get()
        while call is not None:
            calls.append(call)
            if len(calls) == _MOST_CALLS:
                return calls
            try:
                call = self._calls.get_nowait()
            except Empty:
                return calls
        if calls:
            self._calls.put(None)  # stop after these
        return calls

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
        files = self._store.files
        if not to_flush or files is None:
            self._flushed(to_flush, transaction)
        else:
            if self._syncer is None:
                self._syncer = Syncer(self._path, files)
            self._syncer.sync(partial(self._flushed, to_flush, transaction), files)

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
