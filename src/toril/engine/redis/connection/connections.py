"""What the engine asks of its connections, wherever they go."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from toril.engine.redis.connection.cluster import ClusterConnections
from toril.engine.redis.connection.locator import OneServer, WatchedMaster
from toril.engine.redis.connection.server import MasterConnections
from toril.engine.redis.connection.target import ClusterNodes, SentinelGroup, Target
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

    async def ask(self, queue: QueueRef, *request: Any) -> Any:
        """Run one command on the server that has a queue.

        Args:
            queue: The queue.
            *request: The command and its arguments. It may name queues of the same group.

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

    def group_of(self, queue: QueueRef) -> int:
        """Return the group of a queue: one call can name the keys of all queues in a group."""
        ...

    async def masters(self) -> Sequence[MasterConnections]:
        """Return the connections to each server that holds queues."""
        ...

    async def close(self) -> None:
        """Close all connections, and those that are being opened."""
        ...


def connections_to(target: Target) -> Connections:
    """Return connections to a target; they open when they are needed."""
    if isinstance(target, ClusterNodes):
        return ClusterConnections(target)
    if isinstance(target, SentinelGroup):
        return MasterConnections(WatchedMaster(target))
    return MasterConnections(OneServer(target))
