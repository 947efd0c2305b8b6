"""What people do to queues and jobs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from toril.engine.base import QueueInfo
from toril.engine.redis.connections import Connections
from toril.engine.redis.keys import QUEUES, keys_of
from toril.engine.redis.packing import as_json
from toril.errors import ConflictError, NotFoundError
from toril.model.job import QueueRef
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
    *,
    rate_limit: RateLimit | None = None,
    concurrency: int | None = None,
) -> None:
    """Make a queue visible and set its limits."""
    await connections.run(
        "register",
        queue,
        LAYOUT_VERSION,
        "" if concurrency is None else concurrency,
        "" if rate_limit is None else rate_limit.max,
        "" if rate_limit is None else rate_limit.per_ms,
    )
    await connections.call("SADD", QUEUES, as_json(queue))


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


async def _info(connections: Connections, ref: QueueRef) -> QueueInfo | None:
    flat = await connections.call("HGETALL", keys_of(ref).meta)
    if not flat:
        return None
    meta = dict(zip(flat[::2], flat[1::2], strict=True))
    most, duration = meta.get("max"), meta.get("duration")
    return QueueInfo(
        ref,
        "paused" in meta,
        int(meta["concurrency"]) if meta.get("concurrency") else None,
        RateLimit(int(most), int(duration) / 1000) if most and duration else None,
    )


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
