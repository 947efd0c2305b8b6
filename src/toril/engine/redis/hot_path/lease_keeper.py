"""Renewing leases from a thread of its own, on a connection of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from toril.engine.redis.connection.connections import Connections
from toril.model.job import Lease, QueueRef

R = TypeVar("R")


class RedisKeeper:
    """Renews leases. A call blocks its own thread and never waits for a handler."""

    def __init__(
        self,
        connect: Callable[[], Connections],
        in_flight: Mapping[str, tuple[QueueRef, str]],
    ) -> None:
        """Prepare.

        Args:
            connect: Makes connections of its own.
            in_flight: The queue and record of each exchange that has no answer yet.
        """
        self._connections = connect()
        self._in_flight = in_flight
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def extend(self, leases: Sequence[Lease], lease_ms: int) -> list[Lease]:
        fetches: dict[QueueRef, list[str]] = {}
        for token, (queue, worker) in list(self._in_flight.items()):
            fetches.setdefault(queue, []).extend((worker, token))
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
        async def of(queue: QueueRef) -> list[Lease]:
            its, tokens = leases.get(queue, ()), fetches.get(queue, ())
            pairs = [text for lease in its for text in (lease.id, lease.token)]
            places = await self._connections.run(
                "extend", queue, lease_ms, len(tokens) // 2, *tokens, *pairs
            )
            return [its[place] for place in places]

        return await _of_each(leases.keys() | fetches.keys(), of)

    def cancelled(self, leases: Sequence[Lease]) -> list[Lease]:
        return self._run(self._cancelled(_by_queue(leases)))

    async def _cancelled(self, leases: Mapping[QueueRef, Sequence[Lease]]) -> list[Lease]:
        async def of(queue: QueueRef) -> list[Lease]:
            its = leases[queue]
            pairs = [text for lease in its for text in (lease.id, lease.token)]
            places = await self._connections.run("cancelled", queue, *pairs)
            return [its[place] for place in places]

        return await _of_each(leases, of)

    def close(self) -> None:
        if self._loop is not None and self._thread is not None:
            self._run(self._connections.close())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()
            self._loop = self._thread = None

    def _run(self, work: Coroutine[Any, Any, R]) -> R:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(
                target=self._loop.run_forever, name="toril-keeper", daemon=True
            )
            self._thread.start()
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()


async def _of_each(
    queues: Iterable[QueueRef], of: Callable[[QueueRef], Awaitable[list[Lease]]]
) -> list[Lease]:
    """Ask for all queues: where one's server is away, those of others are asked for too."""
    answers = await asyncio.gather(*map(of, queues), return_exceptions=True)
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
