"""Calls to the writer's thread, and the delivery of their results."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from enum import IntEnum, auto
from typing import Any

from toril.engine.sqlite.storage.transaction import Operation
from toril.errors import EngineError


class Durability(IntEnum):
    """How durable a call must be. Calls that share a transaction get the highest level of any."""

    READ = auto()
    """Changes nothing, and takes no lock that others wait for."""
    COMMITTED = auto()
    """Returns after commit: the change survives the end of the process."""
    SYNC_LATER = auto()
    """Returns after commit; a future resolves after fsync."""
    SYNCED = auto()
    """Returns after fsync: the change survives a loss of power."""


class Call:
    """An operation for the writer, and the futures of its caller."""

    __slots__ = (
        "args",
        "durability",
        "error",
        "flush_error",
        "flushed",
        "future",
        "kwargs",
        "loop",
        "operation",
        "result",
    )

    def __init__(
        self,
        operation: Operation,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        loop: asyncio.AbstractEventLoop | None,
        durability: Durability,
    ) -> None:
        self.operation = operation
        self.args = args
        self.kwargs = kwargs
        self.loop = loop
        self.durability = durability
        self.future: asyncio.Future[Any] | concurrent.futures.Future[Any] = (
            concurrent.futures.Future() if loop is None else loop.create_future()
        )
        self.flushed = (
            loop.create_future()
            if durability is Durability.SYNC_LATER and loop is not None
            else self.future
        )
        self.result: Any = None
        self.error: BaseException | None = None
        self.flush_error: EngineError | None = None

    def deliver(self) -> None:
        """Resolve the caller's future with the result. Runs in the caller's thread."""
        _resolve(self.future, self.result, self.error)

    def deliver_flush(self) -> None:
        """Resolve the future for the flush. Runs in the caller's thread."""
        result = self.result if self.flushed is self.future else None
        _resolve(self.flushed, result, self.flush_error)


def _resolve(
    future: asyncio.Future[Any] | concurrent.futures.Future[Any],
    result: Any,
    error: BaseException | None,
) -> None:
    if future.done():  # the caller has been cancelled
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)


def deliver(calls: Sequence[Call], how: Callable[[Call], None] = Call.deliver) -> None:
    """Deliver results with one wake-up per event loop instead of one per call.

    Args:
        calls: The calls.
        how: What to run for each call in its caller's thread.
    """
    by_loop: defaultdict[asyncio.AbstractEventLoop, list[Call]] = defaultdict(list)
    for call in calls:
        if call.loop is None:
            how(call)
        else:
            by_loop[call.loop].append(call)
    for loop, group in by_loop.items():
        with contextlib.suppress(RuntimeError):  # the loop was closed in the meantime
            loop.call_soon_threadsafe(_deliver_all, group, how)


def _deliver_all(calls: Sequence[Call], how: Callable[[Call], None]) -> None:
    for call in calls:
        how(call)
