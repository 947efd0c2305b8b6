"""Registering queues: making them visible and setting their limits."""

from __future__ import annotations

from typing import Any

from toril.engine.contract.rules import limits_by_other_field
from toril.engine.redis.connection.connections import Connections
from toril.engine.redis.scripts.keys import QUEUES
from toril.engine.redis.scripts.script import as_json
from toril.errors import ConflictError
from toril.model.job import QueueRef
from toril.model.limits import NO_LIMITS, Limits, RateLimit
from toril.printable import logger

_logger = logger("toril.engine")

LAYOUT_VERSION = "bullmq:6.7.0"
"""The version that BullMQ writes into a queue's `meta`: the data layout that Toril follows."""


class Registrations:
    """The lasting limits of an engine's queues, and the queues that have lost theirs.

    Attributes:
        limits: The lasting limits by queue.
        lost: The queues that were removed, and whose limits are not stored again yet.
    """

    def __init__(self) -> None:
        """Start without limits."""
        self.limits: dict[QueueRef, Limits] = {}
        self.lost: set[QueueRef] = set()

    def stored(self, queue: QueueRef, limits: Limits) -> None:
        """Remember that a queue was stored, and the limits that are to last.

        For a removed queue, they replace those that were registered before.
        """
        if queue in self.lost:
            self.limits.pop(queue, None)
            self.lost.discard(queue)
        if limits != NO_LIMITS:
            self.limits[queue] = limits.over(self.limits.get(queue, NO_LIMITS))

    async def store(self, connections: Connections, queue: QueueRef) -> None:
        """Make a queue visible; if it was removed, set the limits again that it had."""
        if queue not in self.lost:
            await register(connections, queue)
            return
        try:
            await register(connections, queue, self.limits.get(queue, NO_LIMITS))
        except ConflictError as error:
            _logger.error("%s", error)  # noqa: TRY400 - no traceback: not a bug in Toril
        self.lost.discard(queue)


async def show(connections: Connections, queue: QueueRef) -> None:
    """Make a queue visible that may not have its limits yet: workers look for its version."""
    await connections.call("SADD", QUEUES, as_json(queue))


async def register(connections: Connections, queue: QueueRef, limits: Limits = NO_LIMITS) -> None:
    """Make a queue visible and set its limits; see `Queues.register`."""
    by_key = limits.by_key
    keyed = (
        ("", "", "", "", "")
        if by_key is None
        else (by_key.field, *_rate(by_key.rate), _or_empty(by_key.concurrency))
    )
    other = await connections.run(
        "register",
        queue,
        LAYOUT_VERSION,
        _or_empty(limits.concurrency),
        *_rate(limits.rate),
        *keyed,
    )
    if other is not None and by_key is not None:
        raise limits_by_other_field(queue, other, by_key.field)
    await show(connections, queue)


def _rate(limit: RateLimit | None) -> tuple[Any, Any, Any]:
    if limit is None:
        return "", "", ""
    return limit.max, limit.per_ms, _or_empty(limit.burst)


def _or_empty(value: int | None) -> Any:
    return "" if value is None else value
