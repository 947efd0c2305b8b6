"""The connections to a cluster: to each call the node that has its slot.

A node that does not have the slot (any more) carries out nothing and says who does, so such a
call is sent on. What became of a call whose connection was lost is not known, here as
elsewhere: it fails, and the next one asks anew who has the slot.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import hiredis

from toril.engine.redis.connection.endpoint import Endpoint
from toril.engine.redis.connection.errors import code_of, translate, translate_of
from toril.engine.redis.connection.locator import OneServer
from toril.engine.redis.connection.server import MasterConnections
from toril.engine.redis.connection.slot_map import SlotMap
from toril.engine.redis.connection.slots import slot_of, slot_of_queue
from toril.engine.redis.connection.target import ClusterNodes
from toril.engine.redis.connection.wire import Wire
from toril.engine.redis.scripts.keys import keys_of
from toril.engine.redis.scripts.script import script
from toril.errors import EngineError, StoreUnavailableError
from toril.model.job import QueueRef

_MOST_NODES = 5  # that one call is sent to in turn


class ClusterConnections:
    """Connections to the masters of a cluster."""

    def __init__(self, cluster: ClusterNodes) -> None:
        """Prepare.

        Args:
            cluster: The cluster.
        """
        self._location = cluster.location
        self._map = SlotMap(cluster)
        self._nodes: dict[Endpoint, MasterConnections] = {}
        self._closed = False

    async def open(self) -> None:
        await self._map.refresh()

    async def masters(self) -> Sequence[MasterConnections]:
        await self._map.refresh()
        return [self._node(master) for master in self._map.masters]

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

    def _node(self, endpoint: Endpoint) -> MasterConnections:
        if self._closed:
            raise StoreUnavailableError(f"{self._location} was closed meanwhile")
        node = self._nodes.get(endpoint)
        if node is None:
            node = self._nodes[endpoint] = MasterConnections(OneServer(endpoint))
        return node

    async def _send(
        self,
        slot: int,
        plain: Callable[[Wire], Awaitable[Any]],
        whole: Callable[[Wire], Sequence[Any]],
    ) -> Any:
        """Send a call to who has its slot, and to whom that one names.

        Args:
            slot: The slot.
            plain: Sends it.
            whole: Returns it as one request, for a node that is about to have the slot.
        """
        owner = await self._map.owner(slot)
        asking = False
        for _ in range(_MOST_NODES):
            try:
                wire = await self._node(owner).wire()
                return await (_ask(wire, whole(wire)) if asking else plain(wire))
            except EngineError:
                self._map.doubt(owner)
                raise
            except hiredis.ReplyError as error:
                code = code_of(error)
                asking = code == "ASK"
                if not asking and code != "MOVED":
                    if code == "CLUSTERDOWN":
                        self._map.doubt(owner)
                    raise
                owner = _named(error, owner)
            if not asking:
                self._map.moved(slot, owner)
        raise StoreUnavailableError(f"{self._location}: the nodes send us around for slot {slot}")


async def _ask(wire: Wire, request: Sequence[Any]) -> Any:
    """Send a request to a node that is about to have its slot, for which it must be told so."""
    _, reply = await asyncio.gather(wire.send("ASKING"), wire.send(*request))
    return reply


def _named(error: hiredis.ReplyError, by: Endpoint) -> Endpoint:
    """Return the node that a redirection names: "MOVED 3999 127.0.0.1:6381"."""
    host, _, port = str(error).split()[2].rpartition(":")
    return by.at(host or by.host, int(port))
