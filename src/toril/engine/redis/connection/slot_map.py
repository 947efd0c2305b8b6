"""Which node of a cluster serves which hash slot, as reported by the nodes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from toril.engine.contract.rules import is_closed
from toril.engine.redis.connection.endpoint import Endpoint
from toril.engine.redis.connection.slots import SLOTS
from toril.engine.redis.connection.target import ClusterNodes
from toril.engine.redis.connection.wire import Wire
from toril.errors import EngineError, StoreUnavailableError
from toril.printable import logger

_logger = logger("toril.engine")


class SlotMap:
    """The owners of a cluster's hash slots; loaded again when it may be outdated.

    Attributes:
        primaries: The nodes that serve slots.
    """

    def __init__(self, cluster: ClusterNodes) -> None:
        """Prepare; the first use loads the map.

        Args:
            cluster: The cluster.
        """
        self._cluster = cluster
        self._owners: list[Endpoint | None] = [None] * SLOTS
        self._stale = True
        self._order: list[Endpoint] = list(cluster.nodes)  # the order in which nodes are asked
        self._loading: asyncio.Task[None] | None = None
        self._closed = False
        self.primaries: list[Endpoint] = []

    async def owner(self, slot: int) -> Endpoint:
        """Return the node that serves a slot.

        Raises:
            StoreUnavailableError: No node can be asked, or no node serves the slot.
        """
        if self._stale:
            await self.refresh()
        owner = self._owners[slot]
        if owner is None:
            self._stale = True
            raise StoreUnavailableError(
                f"{self._cluster.location}: no node serves hash slot {slot}"
            )
        return owner

    def moved(self, slot: int, to: Endpoint) -> None:
        """Record a slot's new owner, and ask it first for the rest of the map.

        Args:
            slot: The slot.
            to: Its new owner, which knows best what else has changed.
        """
        location = self._cluster.location
        _logger.warning("%s: hash slot %d has moved to %s", location, slot, to.address)
        self._owners[slot] = to
        self._stale = True
        self._order = [to, *(node for node in self._order if node != to)]

    def mark_stale(self, node: Endpoint) -> None:
        """Load the map again before the next call, and ask a node that did not answer last."""
        self._stale = True
        self._order = [*(other for other in self._order if other != node), node]

    async def refresh(self) -> None:
        """Load the map; concurrent calls share one request.

        Raises:
            StoreUnavailableError: No node can be asked.
        """
        if self._loading is None:
            self._loading = asyncio.create_task(self._load())
        loading = self._loading
        try:
            await asyncio.shield(loading)
        except asyncio.CancelledError:
            if self._closed and loading.cancelled():
                raise is_closed(self._cluster.location) from None
            raise
        finally:
            if self._loading is loading and loading.done():
                self._loading = None

    async def close(self) -> None:
        """Cancel a request in progress."""
        self._closed = True
        if self._loading is not None:
            self._loading.cancel()
            await asyncio.gather(self._loading, return_exceptions=True)

    async def _load(self) -> None:
        reasons: list[str] = []
        for node in list(self._order):
            try:
                self._apply(node, await _slots_by(node))
            except EngineError as error:
                reasons.append(str(error))
            else:
                return
        message = f"{self._cluster.location}: no cluster node answers: {'; '.join(reasons)}"
        raise StoreUnavailableError(message)

    def _apply(self, source: Endpoint, ranges: Sequence[Any]) -> None:
        owners: list[Endpoint | None] = [None] * SLOTS
        primaries: dict[Endpoint, None] = {}
        for first, last, (host, port, *_), *_ in ranges:
            # A node that does not know its own address reports none: use the address we asked.
            owner = source.at(host if host and host != "?" else source.host, port)
            owners[first : last + 1] = [owner] * (last + 1 - first)
            primaries[owner] = None
        if self.primaries and primaries.keys() != set(self.primaries):
            addresses = ", ".join(primary.address for primary in primaries)
            _logger.warning("%s: the primaries are now %s", self._cluster.location, addresses)
        self._owners, self.primaries, self._stale = owners, list(primaries), False
        self._order = list(dict.fromkeys([source, *primaries, *self._cluster.nodes]))


async def _slots_by(node: Endpoint) -> Sequence[Any]:
    """Return a node's answer to CLUSTER SLOTS."""
    wire = await Wire.open(node, timeout=node.timeout)
    try:
        slots: Sequence[Any] = await wire.call("CLUSTER", "SLOTS")
    finally:
        await wire.close()
    return slots
