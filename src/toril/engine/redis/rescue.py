"""Rescues jobs whose leases ran out, a part at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress

from toril.engine.contract.hot_path import Stalled
from toril.engine.contract.rules import CHUNK
from toril.engine.redis.schedules import sooner
from toril.engine.redis.session import Session
from toril.errors import NotFoundError
from toril.model.job import QueueRef

_SKIPPED = -1


async def rescue(
    session: Session,
    queue: QueueRef,
    max_stalls: int,
    unless_within_ms: int,
    *,
    own: Callable[[], Sequence[str] | None],
) -> list[Stalled]:
    """Rescue jobs whose leases ran out; see `Engine.rescue`.

    Args:
        session: The session.
        queue: The queue.
        max_stalls: How often one job may stall before it is poison.
        unless_within_ms: Skip if another rescue ran within this many ms.
        own: Returns the ids of the jobs that this process runs, which are left alone. None stops
            the rescue, because such jobs are on their way here.
    """
    found: list[Stalled] = []
    skip, went_back = 0, False
    while (spared := own()) is not None:
        checked, back, *stalled = await session.run(
            "rescue", queue, max_stalls, skip, CHUNK, unless_within_ms, *spared
        )
        if checked == _SKIPPED:
            return []
        went_back = went_back or bool(back)
        found += [
            Stalled(job_id, bool(poisoned))
            for job_id, poisoned in zip(stalled[::2], stalled[1::2], strict=True)
        ]
        skip += checked - len(stalled) // 2
        if checked < CHUNK:
            break
    if went_back:
        await _shorten_delays(session, queue)
    return found


async def _shorten_delays(session: Session, queue: QueueRef) -> None:
    """Let no delayed job wait longer than it was asked to, after the clock was set back."""
    with suppress(NotFoundError):  # the queue was obliterated meanwhile
        scheduled = await sooner(session, queue)
        place = await session.run("shorten_delays", queue, "+inf", CHUNK, *scheduled)
        while place is not None:
            place = await session.run("shorten_delays", queue, place, CHUNK)
