"""Queues: settings, counts, and operations on a whole queue."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any

from toril.engine.contract.metrics import MetricsWindow
from toril.engine.contract.queues import QueueInfo, QueueOverview
from toril.engine.contract.rules import CHUNK, KEPT_MINUTES, MOST_SWEEPS, check_cleanable
from toril.engine.redis.registration import register
from toril.engine.redis.scripts.keys import QUEUES, keys_of
from toril.engine.redis.scripts.script import as_json
from toril.engine.redis.scripts.values import whole
from toril.engine.redis.session import Session, Sessions
from toril.model.job import QueueRef
from toril.model.limits import NO_LIMITS, KeyLimits, Limits, RateLimit
from toril.model.state import JobState

_CLEAN_SCAN = 5000  # jobs checked in one call of the clean script
_QUEUES_PER_CALL = 100  # of the overview script
_MINUTES_PER_CALL = 5000  # minutes of counters, over all queues of the call
_COUNTED = (
    JobState.WAITING,
    JobState.PRIORITIZED,
    JobState.DELAYED,
    JobState.WAITING_CHILDREN,
    JobState.ACTIVE,
    JobState.COMPLETED,
    JobState.FAILED,
)


class RedisQueues:
    """The queues of a Redis store; see `Queues` in the contract."""

    def __init__(self, sessions: Sessions) -> None:
        """Prepare.

        Args:
            sessions: The engine's sessions.
        """
        self._sessions = sessions

    async def register(
        self, queue: QueueRef, limits: Limits = NO_LIMITS, *, lasting: bool = False
    ) -> None:
        session = self._sessions.current()
        await register(session.connections, queue, limits)
        session.registered.add(queue)
        self._sessions.registrations.stored(queue, limits if lasting else NO_LIMITS)

    async def clear_limits(self, queue: QueueRef) -> None:
        session = self._sessions.current()
        while await session.run("clear_limits", queue, CHUNK) == CHUNK:
            pass
        self._sessions.registrations.limits.pop(queue, None)

    async def all(self) -> list[QueueInfo]:
        session = self._sessions.current()
        members = await session.connections.call("SMEMBERS", QUEUES)
        refs = sorted(QueueRef(*json.loads(member)) for member in members)
        found = {one.info.ref: one.info for one in await self.overview(refs, 0)}
        gone = [as_json(ref) for ref in refs if ref not in found]
        if gone:
            await session.connections.call("SREM", QUEUES, *gone)
        return list(found.values())

    async def info(self, queue: QueueRef) -> QueueInfo | None:
        found = await self.overview([queue], 0)
        if not found:
            return None
        # Make a queue that only Node.js has used so far visible to `all`.
        await self._sessions.current().connections.call("SADD", QUEUES, as_json(queue))
        return found[0].info

    async def counts(self, queue: QueueRef) -> dict[JobState, int]:
        found = await self._sessions.current().run("counts", queue)
        return dict(zip(_COUNTED, found, strict=True))

    async def overview(self, queues: Sequence[QueueRef], window_ms: int) -> list[QueueOverview]:
        session = self._sessions.current()
        window_ms = min(window_ms, KEPT_MINUTES * 60_000)
        groups: dict[int, list[QueueRef]] = {}
        for queue in queues:
            groups.setdefault(session.connections.group_of(queue), []).append(queue)
        minutes = window_ms // 60_000 + 1
        size = max(min(_QUEUES_PER_CALL, _MINUTES_PER_CALL // minutes), 1)
        parts = [
            group[first : first + size]
            for group in groups.values()
            for first in range(0, len(group), size)
        ]
        answers = await asyncio.gather(*(_overview(session, part, window_ms) for part in parts))
        found = {one.info.ref: one for answer in answers for one in answer}
        return [found[queue] for queue in dict.fromkeys(queues) if queue in found]

    async def pause(self, queue: QueueRef) -> None:
        await self._sessions.current().run("set_paused", queue, 1)

    async def resume(self, queue: QueueRef) -> None:
        await self._sessions.current().run("set_paused", queue, 0)

    async def drain(self, queue: QueueRef, *, delayed: bool = False) -> int:
        session = self._sessions.current()
        total = 0
        while removed := await session.run("drain", queue, int(delayed), CHUNK):
            total += removed
        return total

    async def clean(
        self, queue: QueueRef, state: JobState, grace_ms: int, limit: int | None = None
    ) -> list[str]:
        check_cleanable(state)
        session = self._sessions.current()
        removed: list[str] = []
        skip = 0
        while skip >= 0 and (limit is None or len(removed) < limit):
            most = CHUNK if limit is None else min(CHUNK, limit - len(removed))
            skip, *some = await session.run(
                "clean", queue, state, grace_ms, most, skip, _CLEAN_SCAN
            )
            removed += some
        return removed

    async def sweep(self, queue: QueueRef) -> int:
        session = self._sessions.current()
        removed = 0
        for _ in range(MOST_SWEEPS):
            checked, some = await session.run("sweep", queue, CHUNK)
            removed += some
            if checked < CHUNK:
                break
        return removed

    async def obliterate(self, queue: QueueRef, *, force: bool = False) -> int:
        session = self._sessions.current()
        total = 0
        while (removed := await session.run("obliterate", queue, int(force), CHUNK)) >= 0:
            total += removed
        await session.connections.call("SREM", QUEUES, as_json(queue))
        self._sessions.forget(queue)
        return total


async def _overview(
    session: Session, queues: Sequence[QueueRef], window_ms: int
) -> list[QueueOverview]:
    """Return the overviews of queues in the same group; see lua/overview.lua."""
    bases = [text for queue in queues for text in (keys_of(queue).base, keys_of(queue).own)]
    answers = await session.run("overview", queues[0], window_ms, *bases)
    return [
        _overview_of(queue, answer, window_ms)
        for queue, answer in zip(queues, answers, strict=True)
        if answer
    ]


def _overview_of(queue: QueueRef, answer: Sequence[Any], window_ms: int) -> QueueOverview:
    meta, own, counts, counters = answer
    totals = {name: whole(total) for name, total in _pairs(counters).items()}
    return QueueOverview(
        _info(queue, _pairs(meta), _pairs(own)),
        dict(zip(_COUNTED, counts, strict=True)),
        MetricsWindow.of(totals, window_ms),
    )


def _pairs(flat: Sequence[Any]) -> dict[str, Any]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _info(queue: QueueRef, meta: Mapping[str, str], own: Mapping[str, str]) -> QueueInfo:
    return QueueInfo(
        queue,
        "paused" in meta,
        _number(meta.get("concurrency")),
        _rate(own.get("max"), own.get("per"), own.get("burst"))
        or _rate(meta.get("max"), meta.get("duration")),
        _by_key(own),
    )


def _by_key(own: Mapping[str, str]) -> KeyLimits | None:
    if "by" not in own:
        return None
    rate = _rate(own.get("key_max"), own.get("key_per"), own.get("key_burst"))
    return KeyLimits(own["by"], rate, _number(own.get("key_concurrency")))


def _rate(most: str | None, per: str | None, burst: str | None = None) -> RateLimit | None:
    if not whole(most) or not whole(per):
        return None
    return RateLimit(whole(most), whole(per) / 1000, whole(burst) or None)


def _number(text: str | None) -> int | None:
    return whole(text) or None
