"""What people do to queues and jobs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from toril.engine.base import QueueInfo, other_field
from toril.engine.redis.connection.connections import Connections
from toril.engine.redis.scripts.keys import QUEUES, keys_of
from toril.engine.redis.scripts.packing import as_json
from toril.errors import ConflictError, NotFoundError
from toril.model.job import QueueRef
from toril.model.limits import NO_LIMITS, KeyLimits, Limits
from toril.model.options import RateLimit
from toril.model.outcome import CANCEL_REASON, CANCELLED
from toril.model.state import STORED, JobState

CHUNK = 1000  # jobs that one call removes, so that the server is not held for long
_LOOKED_AT = 5000
LAYOUT_VERSION = "bullmq:6.7.0"
"""What BullMQ writes into a queue's `meta`: the layout that Toril keeps to."""


async def register(
    connections: Connections,
    queue: QueueRef,
    limits: Limits = NO_LIMITS,
) -> None:
    """Make a queue visible and set its limits; see `Engine.register`."""
    by_key = limits.by_key
    keyed = (
        ("", "", "", "", "")
        if by_key is None
        else (by_key.field, *_rate(by_key.rate), _or_nothing(by_key.concurrency))
    )
    other = await connections.run(
        "register",
        queue,
        LAYOUT_VERSION,
        _or_nothing(limits.concurrency),
        *_rate(limits.rate),
        *keyed,
    )
    if other is not None and by_key is not None:
        raise other_field(queue, other, by_key.field)
    await connections.call("SADD", QUEUES, as_json(queue))


def _rate(limit: RateLimit | None) -> tuple[Any, Any, Any]:
    if limit is None:
        return "", "", ""
    return limit.max, limit.per_ms, _or_nothing(limit.burst)


def _or_nothing(value: int | None) -> Any:
    return "" if value is None else value


async def lift(connections: Connections, queue: QueueRef) -> None:
    """Take away a queue's limits."""
    while await connections.run("lift", queue, CHUNK) == CHUNK:
        pass


async def every(connections: Connections) -> list[QueueInfo]:
    """Return all queues that Toril was told of and that are there."""
    members = await connections.call("SMEMBERS", QUEUES)
    refs = sorted(QueueRef(*json.loads(member)) for member in members)
    found: list[QueueInfo] = []
    for ref in refs:
        info = await _info(connections, ref)
        if info is None:
            await connections.call("SREM", QUEUES, as_json(ref))
        else:
            found.append(info)
    return found


async def info(connections: Connections, queue: QueueRef) -> QueueInfo | None:
    """Return a queue, making it known if Node.js alone has used it so far."""
    found = await _info(connections, queue)
    if found is not None:
        await connections.call("SADD", QUEUES, as_json(queue))
    return found


async def _info(connections: Connections, ref: QueueRef) -> QueueInfo | None:
    flat = await connections.call("HGETALL", keys_of(ref).meta)
    if not flat:
        return None
    meta = dict(zip(flat[::2], flat[1::2], strict=True))
    flat = await connections.call("HGETALL", keys_of(ref).limits)
    own = dict(zip(flat[::2], flat[1::2], strict=True))
    return QueueInfo(
        ref,
        "paused" in meta,
        _number(meta.get("concurrency")),
        _rate_of(own.get("max"), own.get("per"), own.get("burst"))
        or _rate_of(meta.get("max"), meta.get("duration")),
        _by_key_of(own),
    )


def _by_key_of(own: Mapping[str, str]) -> KeyLimits | None:
    if "by" not in own:
        return None
    rate = _rate_of(own.get("key_max"), own.get("key_per"), own.get("key_burst"))
    return KeyLimits(own["by"], rate, _number(own.get("key_concurrency")))


def _rate_of(most: str | None, per: str | None, burst: str | None = None) -> RateLimit | None:
    return RateLimit(int(most), int(per) / 1000, _number(burst)) if most and per else None


def _number(text: str | None) -> int | None:
    return int(text) if text else None


async def drain(connections: Connections, queue: QueueRef, *, delayed: bool) -> int:
    """Remove the jobs that wait, and the delayed ones too if asked; return how many."""
    total = 0
    while removed := await connections.run("drain", queue, int(delayed), CHUNK):
        total += removed
    return total


async def clean(
    connections: Connections, queue: QueueRef, state: JobState, grace_ms: int, limit: int
) -> list[str]:
    """Remove jobs that have been in a state for long; see `Engine.clean`."""
    if state not in STORED - {JobState.ACTIVE}:
        raise ConflictError(f"jobs that are {state} cannot be cleaned")
    removed: list[str] = []
    passed = 0
    while len(removed) < limit and passed >= 0:
        most = min(CHUNK, limit - len(removed))
        passed, *some = await connections.run(
            "clean", queue, state, grace_ms, most, passed, _LOOKED_AT
        )
        removed += some
    return removed


async def obliterate(connections: Connections, queue: QueueRef, *, force: bool) -> int:
    """Remove a queue and all it holds; return how many jobs that were."""
    total = 0
    while (removed := await connections.run("obliterate", queue, int(force), CHUNK)) >= 0:
        total += removed
    await connections.call("SREM", QUEUES, as_json(queue))
    return total


async def cancel(connections: Connections, queue: QueueRef, ids: Sequence[str]) -> list[str]:
    """Fail jobs that wait, ask those that run to stop."""
    error = {"type": CANCELLED, "message": CANCEL_REASON, "stack": ""}
    told = as_json((CANCELLED, CANCEL_REASON))
    return list(
        await connections.run(
            "cancel", queue, CANCEL_REASON, as_json(error), told, as_json(CANCEL_REASON), *ids
        )
    )


async def change(
    connections: Connections,
    queue: QueueRef,
    job_id: str,
    *,
    priority: int | None,
    delay_ms: int | None,
    data: str | None,
) -> None:
    """Change a job that has not finished; see `Engine.change`."""
    changes: tuple[Any, ...] = (
        "" if priority is None else priority,
        "" if delay_ms is None else delay_ms,
        int(data is not None),
        data or "",
    )
    match await connections.run("change", queue, job_id, *changes):
        case None:
            return
        case "missing":
            raise NotFoundError(f"there is no job {job_id!r} in queue {str(queue)!r}")
        case "completed" | "failed" as state:
            raise ConflictError(f"job {job_id} is {state} already")
        case state:
            raise ConflictError(f"job {job_id} is {state}: only its data can be changed")
