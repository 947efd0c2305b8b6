"""Waiting for events of many queues: one blocking call per server, or per hash slot."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias

from toril.engine.contract.rules import is_closed
from toril.engine.redis.connection.connections import Connections
from toril.engine.redis.connection.errors import is_elsewhere
from toril.engine.redis.connection.wire import Wire
from toril.engine.redis.scripts.keys import client_name, keys_of
from toril.errors import EngineError
from toril.model.job import QueueRef

_GRACE_SECONDS = 0.5  # how far past its timeout the server may end a wait

Streams: TypeAlias = Sequence[tuple[str, Sequence[Any]]]
"""The keys of streams, each with its new entries."""


class Followers:
    """Reads new entries of queues' event streams, and waits for them."""

    def __init__(self, connections: Connections, location: str) -> None:
        """Prepare; connections open when needed.

        Args:
            connections: The connections to the store.
            location: The store's URL without a password.
        """
        self._connections = connections
        self._location = location
        self._closed = False
        self._idle: defaultdict[int, list[Wire]] = defaultdict(list)
        self._pending: dict[tuple[Any, ...], asyncio.Task[Streams]] = {}

    async def close(self) -> None:
        """Cancel all waits. `Connections.close` closes the connections."""
        self._closed = True
        pending = list(self._pending.values())
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)

    async def read(
        self, cursors: Mapping[QueueRef, str], limit: int, timeout: float
    ) -> dict[QueueRef, Sequence[Any]]:
        """Return the new entries of streams; see `Events.read`."""
        groups: defaultdict[int, dict[QueueRef, str]] = defaultdict(dict)
        for queue, cursor in cursors.items():
            groups[self._connections.group_of(queue)][queue] = cursor
        if timeout <= 0:
            answers = [await self._read_now(part, limit) for part in groups.values()]
        elif len(groups) == 1:
            ((group, part),) = groups.items()
            answers = [await self._block(group, part, limit, timeout)]
        else:
            answers = await self._first_of(groups, limit, timeout)
        return _by_queue(cursors, answers)

    async def _read_now(self, cursors: Mapping[QueueRef, str], limit: int) -> Streams:
        first = next(iter(cursors))
        return await self._connections.ask(first, "XREAD", *_request(cursors, limit)) or ()

    async def _first_of(
        self, groups: Mapping[int, Mapping[QueueRef, str]], limit: int, timeout: float
    ) -> list[Streams]:
        """Wait for each group in a task of its own; return the entries of the first to finish.

        The other tasks keep waiting, for later reads.
        """
        tasks: list[asyncio.Task[Streams]] = []
        for group, cursors in groups.items():
            key = (group, *cursors.items())
            task = self._pending.get(key)
            if task is None:
                task = asyncio.create_task(self._block(group, cursors, limit, timeout))
                self._pending[key] = task
                task.add_done_callback(partial(self._ended, key))
            tasks.append(task)
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            for task in tasks:
                task.cancel()
            raise
        if self._closed:
            raise is_closed(self._location)
        # Another reader of the same streams may have left, and cancelled their task with it.
        return [() if task.cancelled() else task.result() for task in done]

    def _ended(self, key: tuple[Any, ...], task: asyncio.Task[Streams]) -> None:
        self._pending.pop(key, None)
        if not task.cancelled():
            task.exception()  # marks it as retrieved: the reader may have left

    async def _block(
        self, group: int, cursors: Mapping[QueueRef, str], limit: int, timeout: float
    ) -> Streams:
        first = next(iter(cursors))
        idle = self._idle[group] = [wire for wire in self._idle[group] if wire.is_open]
        name = client_name(first) + ":qe"
        wire = idle.pop() if idle else await self._connections.another(name, first)
        block = max(int(timeout * 1000), 1)
        try:
            async with asyncio.timeout(timeout + _GRACE_SECONDS):
                found = await wire.call("XREAD", "BLOCK", block, *_request(cursors, limit))
        except TimeoutError:  # includes a lost connection: the next read reconnects
            wire.abort("the server did not end a wait in time")
            return ()
        except EngineError as error:
            wire.abort(str(error))
            if not is_elsewhere(error):
                raise
            return ()
        except asyncio.CancelledError:
            wire.abort("the wait was cancelled")
            raise
        idle.append(wire)
        return found or ()


def _request(cursors: Mapping[QueueRef, str], limit: int) -> Sequence[Any]:
    keys = [keys_of(queue).events for queue in cursors]
    return ("COUNT", limit, "STREAMS", *keys, *cursors.values())


def _by_queue(
    cursors: Mapping[QueueRef, str], answers: Sequence[Streams]
) -> dict[QueueRef, Sequence[Any]]:
    queues = {keys_of(queue).events: queue for queue in cursors}
    return {queues[key]: entries for streams in answers for key, entries in streams if entries}
