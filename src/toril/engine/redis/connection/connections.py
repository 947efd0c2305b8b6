"""What the engine asks of its connections, to whatever place they go."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from toril.engine.redis.connection.cluster import ClusterConnections
from toril.engine.redis.connection.locator import OneServer, WatchedMaster
from toril.engine.redis.connection.server import MasterConnections
from toril.engine.redis.connection.target import ClusterNodes, Place, SentinelGroup
from toril.engine.redis.connection.wire import Wire
from toril.model.job import QueueRef


class Connections(Protocol):
    """The connections of one engine on one event loop."""

    async def open(self) -> None:
        """Connect, so that what is wrong is known at once."""
        ...

    async def run(self, name: str, queue: QueueRef, *args: Any) -> Any:
        """Run a script on a queue.

        Args:
            name: The script.
            queue: The queue, whose keys it gets.
            *args: Its ARGV.

        Raises:
            NotFoundError: There is no such queue, for scripts that want one.
            ConflictError: Jobs of it are active, for scripts that want none.
            EngineError: The store failed.
        """
        ...

    async def call(self, command: str, key: str, *args: Any) -> Any:
        """Run one command.

        Args:
            command: The command.
            key: The key that it is about.
            *args: What follows.

        Raises:
            EngineError: The store failed.
        """
        ...

    async def another(self, name: str, queue: QueueRef, longest: float | None = None) -> Wire:
        """Open a connection for a call that waits; whoever opens it closes it.

        Args:
            name: Its name.
            queue: The queue that it is for.
            longest: How long a call lets the server wait, in seconds; without it whoever calls
                sees to it that it ends.
        """
        ...

    async def masters(self) -> Sequence[MasterConnections]:
        """Return the connections to each server that holds queues."""
        ...

    async def close(self) -> None:
        """Close all connections, and those that are being opened."""
        ...


def connections_to(place: Place) -> Connections:
    """Return connections to a place; they open when they are needed."""
    if isinstance(place, ClusterNodes):
        return ClusterConnections(place)
    if isinstance(place, SentinelGroup):
        return MasterConnections(WatchedMaster(place))
    return MasterConnections(OneServer(place))
