"""Who has which slot of a cluster, as its nodes tell."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

from toril.engine.redis.connection.endpoint import Endpoint
from toril.engine.redis.connection.slots import SLOTS
from toril.engine.redis.connection.target import ClusterNodes
from toril.engine.redis.connection.wire import Wire
from toril.errors import EngineError, StoreUnavailableError

_logger = logging.getLogger("toril.engine")


class SlotMap:
    """The owners of a cluster's slots; it is asked for anew once something speaks against it.

    Attributes:
        masters: The nodes that have slots.
    """

    def __init__(self, cluster: ClusterNodes) -> None:
        """Begin without knowing.

        Args:
            cluster: The cluster.
        """
        self._cluster = cluster
        self._owners: list[Endpoint | None] = [None] * SLOTS
        self._stale = True
        self._order: list[Endpoint] = list(cluster.nodes)  # in which nodes are asked
        self._loading: asyncio.Task[None] | None = None
        self.masters: list[Endpoint] = []

    async def owner(self, slot: int) -> Endpoint:
        """Return who has a slot.

        Raises:
            StoreUnavailableError: No node can be asked, or nobody has it.
        """
        if self._stale:
            await self.refresh()
        owner = self._owners[slot]
        if owner is None:
            self._stale = True
            raise StoreUnavailableError(f"{self._cluster.location}: no node has slot {slot}")
        return owner

    def moved(self, slot: int, to: Endpoint) -> None:
        """Note that a slot has another owner, who knows best what else has changed."""
        _logger.warning("%s: slot %d has moved to %s", self._cluster.location, slot, to.address)
        self._owners[slot] = to
        self._stale = True
        self._order = [to, *(node for node in self._order if node != to)]

    def doubt(self, node: Endpoint) -> None:
        """Ask anew before the next call, and last the node that did not answer."""
        self._stale = True
        self._order = [*(other for other in self._order if other != node), node]

    async def refresh(self) -> None:
        """Ask who has which slot; whoever asks meanwhile gets the same answer.

        Raises:
            StoreUnavailableError: No node can be asked.
        """
        if self._loading is None:
            self._loading = asyncio.create_task(self._load())
        loading = self._loading
        try:
            await asyncio.shield(loading)
        finally:
            if self._loading is loading and loading.done():
                self._loading = None

    async def close(self) -> None:
        """Let go of a question that is on its way."""
        if self._loading is not None:
            self._loading.cancel()
            await asyncio.gather(self._loading, return_exceptions=True)

    async def _load(self) -> None:
        reasons: list[str] = []
        for node in list(self._order):
            try:
                self._take(node, await _slots_by(node))
            except EngineError as error:
                reasons.append(str(error))
            else:
                return
        message = f"{self._cluster.location}: no node of the cluster answers: {'; '.join(reasons)}"
        raise StoreUnavailableError(message)

    def _take(self, told_by: Endpoint, ranges: Sequence[Any]) -> None:
        owners: list[Endpoint | None] = [None] * SLOTS
        masters: dict[Endpoint, None] = {}
        for first, last, (host, port, *_), *_ in ranges:
            # A node that does not know its own address gives none: it is where we asked.
            owner = told_by.at(host if host and host != "?" else told_by.host, port)
            owners[first : last + 1] = [owner] * (last + 1 - first)
            masters[owner] = None
        if self.masters and masters.keys() != set(self.masters):
            told = ", ".join(master.address for master in masters)
            _logger.warning("%s: the masters are now %s", self._cluster.location, told)
        self._owners, self.masters, self._stale = owners, list(masters), False
        self._order = list(dict.fromkeys([told_by, *masters, *self._cluster.nodes]))


async def _slots_by(node: Endpoint) -> Sequence[Any]:
    """Return what a node knows of the slots."""
    wire = await Wire.open(node, timeout=node.timeout)
    try:
        slots: Sequence[Any] = await wire.call("CLUSTER", "SLOTS")
    finally:
        await wire.close()
    return slots
