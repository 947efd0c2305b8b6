"""The Redis engine: the engine contract on Redis, in BullMQ's data layout."""

from __future__ import annotations

from collections.abc import Sequence

from toril.clock import Clock, SystemClock
from toril.engine.contract.diagnosis import Finding
from toril.engine.contract.engine import Capabilities
from toril.engine.contract.hot_path import (
    Added,
    Batch,
    Exchange,
    Fetch,
    Note,
    Stalled,
    WakeToken,
)
from toril.engine.redis.connection.connections import connections_to
from toril.engine.redis.connection.slots import check_same_slot
from toril.engine.redis.connection.target import ClusterNodes, Target
from toril.engine.redis.diagnosis.checks import examine
from toril.engine.redis.diagnosis.writers import other_versions
from toril.engine.redis.events import RedisEvents
from toril.engine.redis.hot_path.add import Adder
from toril.engine.redis.hot_path.exchange import pack
from toril.engine.redis.hot_path.exchanger import Exchanger
from toril.engine.redis.hot_path.lease_keeper import RedisKeeper
from toril.engine.redis.jobs import RedisJobs
from toril.engine.redis.queues import RedisQueues
from toril.engine.redis.schedules import RedisSchedules
from toril.engine.redis.session import Session, Sessions
from toril.model.job import NewJob, QueueRef
from toril.model.settlement import Settlement, follow_ups_of

_RESCUE_CHUNK = 1000


class RedisEngine:
    """Queues in Redis, which Node.js services can share."""

    def __init__(self, target: Target, *, clock: Clock | None = None) -> None:
        """Prepare; the first call connects.

        Args:
            target: A server, a primary watched by Sentinels, or a cluster.
            clock: Compared with the server's clock by `examine`; by default the system clock.
        """
        self._target = target
        self._clock = clock or SystemClock()
        self._sessions = Sessions(target)
        self._adder = Adder(target.location)
        self._exchanger = Exchanger()
        self.queues = RedisQueues(self._sessions)
        self.jobs = RedisJobs(self._sessions)
        self.events = RedisEvents(self._sessions)
        self.schedules = RedisSchedules(self._sessions)

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            "redis", durable=True, shared=True, bullmq=True, remote=True, may_evict=True
        )

    @property
    def location(self) -> str:
        return self._target.location

    async def open(self) -> None:
        await self._sessions.open()

    async def close(self) -> None:
        await self._sessions.close()

    async def examine(self) -> list[Finding]:
        connections = self._sessions.current().connections
        found = await examine(await connections.primaries(), self._clock)
        return [*found, *await other_versions(connections)]

    async def add(
        self, queue: QueueRef, jobs: Sequence[NewJob], batch: Batch | None = None
    ) -> list[Added]:
        session = self._sessions.current()
        with session.calls:
            if queue not in session.registered:
                await session.ensure_registered(queue)
            if not jobs:
                return []
            if not jobs[0].options.delay_ms:
                session.announce_add(queue)
            return await self._adder.add(session.connections, queue, jobs, batch)

    async def exchange(
        self, queue: QueueRef, settlements: Sequence[Settlement], fetch: Fetch | None
    ) -> Exchange:
        session = self._sessions.current()
        with session.calls:
            if queue not in session.registered:
                await session.ensure_registered(queue)
            packed = pack(settlements)
            if packed.follow_ups:
                await self._prepare_follow_ups(session, queue, settlements)
            marker = session.listeners.marker(queue)
            answer = await self._exchanger.exchange(
                session.connections, marker, settlements, packed, fetch
            )
        if answer.has_unsorted:
            session.sort(queue)
        if answer.was_missing:
            session.forget(queue)
        return answer.exchange

    async def _prepare_follow_ups(
        self, session: Session, queue: QueueRef, settlements: Sequence[Settlement]
    ) -> None:
        for follow_up in follow_ups_of(settlements):
            self.check_follow_ups(queue, follow_up.queue)
            await session.ensure_registered(follow_up.queue)

    def check_follow_ups(self, queue: QueueRef, target: QueueRef) -> None:
        if isinstance(self._target, ClusterNodes):
            check_same_slot(queue, target)

    async def wait(
        self,
        queue: QueueRef,
        until_ms: int | None,
        token: WakeToken,  # noqa: ARG002 - markers set since then are still in Redis
    ) -> None:
        marker = self._sessions.current().listeners.marker(queue)
        timeout = None if until_ms is None else max(marker.server_ms.until(until_ms), 0)
        await marker.wait(timeout)

    def keeper(self) -> RedisKeeper:
        return RedisKeeper(lambda: connections_to(self._target), self._exchanger.in_flight)

    async def note(self, queue: QueueRef, notes: Sequence[Note]) -> None:
        packed: list[str | int] = []
        for note in notes:
            lease, lines = note.lease, note.lines
            packed += (lease.id, lease.token, note.progress_json or "", len(lines), *lines)
        await self._sessions.current().run("note", queue, *packed)

    async def rescue(
        self, queue: QueueRef, max_stalls: int, unless_within_ms: int = 0
    ) -> list[Stalled]:
        session = self._sessions.current()
        found: list[Stalled] = []
        skip = 0
        while True:
            checked, *stalled = await session.run(
                "rescue", queue, max_stalls, skip, _RESCUE_CHUNK, unless_within_ms
            )
            found += [
                Stalled(job_id, bool(poisoned))
                for job_id, poisoned in zip(stalled[::2], stalled[1::2], strict=True)
            ]
            skip += checked - len(stalled) // 2
            if checked < _RESCUE_CHUNK:
                return found
