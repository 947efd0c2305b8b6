"""Waiting for events of many queues: one blocking call a server, or a hash slot of a cluster."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias

from toril.engine.redis.connection.connections import Connections
from toril.engine.redis.connection.errors import is_elsewhere
from toril.engine.redis.connection.wire import Wire
from toril.engine.redis.scripts.keys import client_name, keys_of
from toril.errors import EngineError
from toril.model.job import QueueRef

_LATE_SECONDS = 0.5  # a wait that the server has not ended by then is given up

Streams: TypeAlias = Sequence[tuple[str, Sequence[Any]]]
"""Streams by their key, each with its new entries."""


class Followers:
    """Reads what is new in queues' streams, and waits for it."""

    def __init__(self, connections: Connections) -> None:
        """Start without a connection.

        Args:
            connections: Where the queues are.
        """
        self._connections = connections
        self._idle: defaultdict[int, list[Wire]] = defaultdict(list)
        self._pending: dict[tuple[Any, ...], asyncio.Task[Streams]] = {}

    async def close(self) -> None:
        """End the waits. The connections are closed with all others."""
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
            answers = [await self._now(its, limit) for its in groups.values()]
        elif len(groups) == 1:
            ((group, its),) = groups.items()
            answers = [await self._block(group, its, limit, timeout)]
        else:
            answers = await self._first_of(groups, limit, timeout)
        return _by_queue(cursors, answers)

    async def _now(self, cursors: Mapping[QueueRef, str], limit: int) -> Streams:
        first = next(iter(cursors))
        return await self._connections.ask(first, "XREAD", *_request(cursors, limit)) or ()

    async def _first_of(
        self, groups: Mapping[int, Mapping[QueueRef, str]], limit: int, timeout: float
    ) -> list[Streams]:
        """Wait for each group; the others go on waiting for whoever reads next."""
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
        return [task.result() for task in done]

    def _ended(self, key: tuple[Any, ...], task: asyncio.Task[Streams]) -> None:
        self._pending.pop(key, None)
        if not task.cancelled():
            task.exception()  # whoever waits raises it; nobody may wait any more

    async def _block(
        self, group: int, cursors: Mapping[QueueRef, str], limit: int, timeout: float
    ) -> Streams:
        first = next(iter(cursors))
        idle = self._idle[group] = [wire for wire in self._idle[group] if wire.is_open]
        name = client_name(first) + ":qe"
        wire = idle.pop() if idle else await self._connections.another(name, first)
        block = max(int(timeout * 1000), 1)
        try:
            async with asyncio.timeout(timeout + _LATE_SECONDS):
                found = await wire.call("XREAD", "BLOCK", block, *_request(cursors, limit))
        except TimeoutError:  # or the connection is lost: the next read connects again
            wire.abort("the server did not end a wait")
            return ()
        except EngineError as error:
            wire.abort(str(error))
            if not is_elsewhere(error):
                raise
            return ()
        except asyncio.CancelledError:
            wire.abort("nobody waits for its reply any more")
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
