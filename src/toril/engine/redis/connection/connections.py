"""The connections that the engine uses, to any kind of target."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from toril.engine.redis.connection.cluster import ClusterConnections
from toril.engine.redis.connection.locator import OneServer, WatchedPrimary
from toril.engine.redis.connection.server import PrimaryConnections
from toril.engine.redis.connection.target import ClusterNodes, SentinelGroup, Target
from toril.engine.redis.connection.wire import Wire
from toril.model.job import QueueRef


class Connections(Protocol):
    """The connections of one engine on one event loop."""

    async def open(self) -> None:
        """Connect now, so that errors show up early."""
        ...

    async def run(self, name: str, queue: QueueRef, *args: Any) -> Any:
        """Run a script on a queue.

        Args:
            name: The script.
            queue: The queue, whose keys become the script's KEYS.
            *args: The script's ARGV.

        Raises:
            NotFoundError: The script needs the queue, which does not exist.
            ConflictError: The script needs a queue without active jobs.
            EngineError: The store failed.
        """
        ...

    async def call(self, command: str, key: str, *args: Any) -> Any:
        """Run one command.

        Args:
            command: The command.
            key: The key that it works on.
            *args: Its further arguments.

        Raises:
            EngineError: The store failed.
        """
        ...

    async def ask(self, queue: QueueRef, *request: Any) -> Any:
        """Run one command on the server that holds a queue.

        Args:
            queue: The queue.
            *request: The command and its arguments. It may name other queues of the same group.

        Raises:
            EngineError: The store failed.
        """
        ...

    async def another(self, name: str, queue: QueueRef, longest: float | None = None) -> Wire:
        """Open a connection for blocking calls; the caller closes it.

        Args:
            name: The connection's name.
            queue: A queue on the server to connect to.
            longest: How long a call lets the server block, in seconds. Without it a call has no
                timeout, and the caller ends it.
        """
        ...

    def group_of(self, queue: QueueRef) -> int:
        """Return a queue's group: one call can use the keys of all queues in a group."""
        ...

    async def primaries(self) -> Sequence[PrimaryConnections]:
        """Return the connections to each server that holds queues."""
        ...

    async def close(self) -> None:
        """Close all connections, including those being opened."""
        ...


def connections_to(target: Target) -> Connections:
    """Return connections to a target; they open when needed."""
    if isinstance(target, ClusterNodes):
        return ClusterConnections(target)
    if isinstance(target, SentinelGroup):
        return PrimaryConnections(WatchedPrimary(target))
    return PrimaryConnections(OneServer(target))
