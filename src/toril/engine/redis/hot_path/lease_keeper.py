"""Renewing leases, in a separate thread and on a separate connection."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from toril.engine.redis.connection.connections import Connections
from toril.errors import StoreUnavailableError
from toril.model.job import Lease, QueueRef

R = TypeVar("R")


class RedisKeeper:
    """Renews leases. A call blocks its thread, but never waits for a handler."""

    def __init__(
        self,
        connect: Callable[[], Connections],
        in_flight: Mapping[str, tuple[QueueRef, str, float]],
    ) -> None:
        """Prepare.

        Args:
            connect: Creates the keeper's own connections.
            in_flight: See `Exchanger.in_flight`.
        """
        self._connections = connect()
        self._in_flight = in_flight
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def extend(self, leases: Sequence[Lease], lease_ms: int) -> list[Lease]:
        fetches: dict[QueueRef, list[str]] = {}
        for token, (queue, record, _) in list(self._in_flight.items()):
            fetches.setdefault(queue, []).extend((record, token))
        by_queue = _by_queue(leases)
        if not by_queue and not fetches:
            return []
        return self._run(self._extend(by_queue, fetches, lease_ms))

    async def _extend(
        self,
        leases: Mapping[QueueRef, Sequence[Lease]],
        fetches: Mapping[QueueRef, Sequence[str]],
        lease_ms: int,
    ) -> list[Lease]:
        async def lost_in(queue: QueueRef) -> list[Lease]:
            held, tokens = leases.get(queue, ()), fetches.get(queue, ())
            known = [
                part for lease in held for part in (lease.id, lease.token, lease.attempts_started)
            ]
            indexes = await self._connections.run(
                "extend", queue, lease_ms, len(tokens) // 2, *tokens, *known
            )
            return [held[index] for index in indexes]

        return await _for_each(leases.keys() | fetches.keys(), lost_in)

    def cancelled(self, leases: Sequence[Lease]) -> list[Lease]:
        return self._run(self._cancelled(_by_queue(leases)))

    async def _cancelled(self, leases: Mapping[QueueRef, Sequence[Lease]]) -> list[Lease]:
        async def cancelled_in(queue: QueueRef) -> list[Lease]:
            held = leases[queue]
            pairs = [text for lease in held for text in (lease.id, lease.token)]
            indexes = await self._connections.run("cancelled", queue, *pairs)
            return [held[index] for index in indexes]

        return await _for_each(leases, cancelled_in)

    def close(self) -> None:
        if self._loop is not None and self._thread is not None:
            self._run(self._connections.close())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()
            self._loop = self._thread = None

    def _run(self, work: Coroutine[Any, Any, R]) -> R:
        try:
            loop = self._loop or self._start()
        except (OSError, RuntimeError) as error:
            work.close()
            raise StoreUnavailableError(f"no connection can be opened now: {error}") from error
        return asyncio.run_coroutine_threadsafe(work, loop).result()

    def _start(self) -> asyncio.AbstractEventLoop:
        """Start the loop and its thread, or neither if the system lacks files or threads."""
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever, name="toril-keeper", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            loop.close()
            raise
        self._loop, self._thread = loop, thread
        return loop


async def _for_each(
    queues: Iterable[QueueRef], ask: Callable[[QueueRef], Awaitable[list[Lease]]]
) -> list[Lease]:
    """Ask for each queue. If one queue's server fails, the other queues are still asked for."""
    answers = await asyncio.gather(*map(ask, queues), return_exceptions=True)
    found: list[Lease] = []
    for answer in answers:
        if isinstance(answer, BaseException):
            raise answer
        found += answer
    return found


def _by_queue(leases: Sequence[Lease]) -> dict[QueueRef, list[Lease]]:
    found: dict[QueueRef, list[Lease]] = {}
    for lease in leases:
        found.setdefault(lease.queue, []).append(lease)
    return found
