"""Registering queues: making them visible and setting their limits."""

from __future__ import annotations

from typing import Any

from toril.engine.contract.rules import limits_by_other_field
from toril.engine.redis.connection.connections import Connections
from toril.engine.redis.scripts.keys import QUEUES
from toril.engine.redis.scripts.script import as_json
from toril.model.job import QueueRef
from toril.model.limits import NO_LIMITS, Limits, RateLimit

LAYOUT_VERSION = "bullmq:6.7.0"
"""The version that BullMQ writes into a queue's `meta`: the data layout that Toril follows."""


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
    await connections.call("SADD", QUEUES, as_json(queue))


def _rate(limit: RateLimit | None) -> tuple[Any, Any, Any]:
    if limit is None:
        return "", "", ""
    return limit.max, limit.per_ms, _or_empty(limit.burst)


def _or_empty(value: int | None) -> Any:
    return "" if value is None else value
