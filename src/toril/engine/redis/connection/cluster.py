"""The connections to a cluster: each call goes to the node that serves its hash slot.

A node that does not serve the slot (any more) runs nothing and names the node that does, so the
call is sent there. When a connection is lost, it is not known whether its calls ran: they fail,
as elsewhere, and the next call loads the slot map again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import hiredis

from toril.engine.contract.rules import is_closed
from toril.engine.redis.connection.endpoint import Endpoint
from toril.engine.redis.connection.errors import code_of, translate, translate_of
from toril.engine.redis.connection.locator import OneServer
from toril.engine.redis.connection.server import PrimaryConnections
from toril.engine.redis.connection.slot_map import SlotMap
from toril.engine.redis.connection.slots import slot_of, slot_of_queue
from toril.engine.redis.connection.target import ClusterNodes
from toril.engine.redis.connection.wire import Wire
from toril.engine.redis.scripts.keys import keys_of
from toril.engine.redis.scripts.script import script
from toril.errors import EngineError, StoreUnavailableError
from toril.model.job import QueueRef

_MAX_SENDS = 5  # of one call, to one node after the other


class ClusterConnections:
    """Connections to the primaries of a cluster."""

    def __init__(self, cluster: ClusterNodes) -> None:
        """Prepare.

        Args:
            cluster: The cluster.
        """
        self._location = cluster.location
        self._map = SlotMap(cluster)
        self._nodes: dict[Endpoint, PrimaryConnections] = {}
        self._closed = False

    async def open(self) -> None:
        await self._map.refresh()

    async def primaries(self) -> Sequence[PrimaryConnections]:
        await self._map.refresh()
        return [self._node(primary) for primary in self._map.primaries]

    def group_of(self, queue: QueueRef) -> int:
        return slot_of_queue(queue)

    async def run(self, name: str, queue: QueueRef, *args: Any) -> Any:
        keys = keys_of(queue).in_cluster
        slot = slot_of_queue(queue)

        def whole(wire: Wire) -> Sequence[Any]:
            return "EVAL", script(name).text_for(wire.version)[0], len(keys), *keys, *args

        try:
            return await self._send(
                slot, lambda wire: wire.evaluate(script(name), keys, *args), whole
            )
        except hiredis.ReplyError as error:
            raise translate_of(queue, error, self._location) from error

    async def call(self, command: str, key: str, *args: Any) -> Any:
        return await self._call(slot_of(key), (command, key, *args))

    async def ask(self, queue: QueueRef, *request: Any) -> Any:
        return await self._call(slot_of_queue(queue), request)

    async def _call(self, slot: int, request: Sequence[Any]) -> Any:
        try:
            return await self._send(slot, lambda wire: wire.send(*request), lambda _: request)
        except hiredis.ReplyError as error:
            raise translate(error, self._location) from error

    async def another(self, name: str, queue: QueueRef, longest: float | None = None) -> Wire:
        owner = await self._map.owner(slot_of_queue(queue))
        return await self._node(owner).another(name, queue, longest)

    async def close(self) -> None:
        self._closed = True
        await self._map.close()
        for node in self._nodes.values():
            await node.close()

    def _node(self, endpoint: Endpoint) -> PrimaryConnections:
        if self._closed:
            raise is_closed(self._location)
        node = self._nodes.get(endpoint)
        if node is None:
            node = self._nodes[endpoint] = PrimaryConnections(OneServer(endpoint))
        return node

    async def _send(
        self,
        slot: int,
        plain: Callable[[Wire], Awaitable[Any]],
        whole: Callable[[Wire], Sequence[Any]],
    ) -> Any:
        """Send a call to the node that serves its slot, and follow redirections.

        Args:
            slot: The slot.
            plain: Sends the call.
            whole: Returns the call as one request, for a node that is importing the slot.
        """
        owner = await self._map.owner(slot)
        asking = False
        for _ in range(_MAX_SENDS):
            try:
                wire = await self._node(owner).wire()
                return await (_ask(wire, whole(wire)) if asking else plain(wire))
            except EngineError:
                self._map.mark_stale(owner)
                raise
            except hiredis.ReplyError as error:
                code = code_of(error)
                asking = code == "ASK"
                if not asking and code != "MOVED":
                    if code == "CLUSTERDOWN":
                        self._map.mark_stale(owner)
                    raise
                owner = _redirected(error, owner)
            if not asking:
                self._map.moved(slot, owner)
        raise StoreUnavailableError(f"{self._location}: too many redirections for hash slot {slot}")


async def _ask(wire: Wire, request: Sequence[Any]) -> Any:
    """Send a request to a node that is importing its slot, which ASKING allows."""
    _, reply = await asyncio.gather(wire.send("ASKING"), wire.send(*request))
    return reply


def _redirected(error: hiredis.ReplyError, by: Endpoint) -> Endpoint:
    """Return the node that a redirection names, as in "MOVED 3999 127.0.0.1:6381".

    Args:
        error: The redirection.
        by: The node that sent it.
    """
    host, _, port = str(error).split()[2].rpartition(":")
    return by.at(host or by.host, int(port))
