"""The Redis engine: the engine contract on Redis, in BullMQ's data layout."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

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
from toril.engine.contract.running import held_here
from toril.engine.redis.connection.connections import connections_to
from toril.engine.redis.connection.slots import check_same_slot
from toril.engine.redis.connection.target import ClusterNodes, Target
from toril.engine.redis.diagnosis.checks import examine
from toril.engine.redis.diagnosis.writers import other_versions
from toril.engine.redis.events import RedisEvents
from toril.engine.redis.hot_path.add import Adder
from toril.engine.redis.hot_path.exchange import pack
from toril.engine.redis.hot_path.exchanger import Answer, Exchanger
from toril.engine.redis.hot_path.lease_keeper import RedisKeeper
from toril.engine.redis.hot_path.marker import QueueMarker
from toril.engine.redis.jobs import RedisJobs
from toril.engine.redis.queues import RedisQueues
from toril.engine.redis.rescue import rescue
from toril.engine.redis.schedules import RedisSchedules
from toril.engine.redis.session import Session, Sessions
from toril.forks import ForkAware, watch_forks
from toril.model.job import NewJob, QueueRef
from toril.model.settlement import Settlement, follow_ups_of


class RedisEngine(ForkAware):
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
        self._set_up()
        self.queues = RedisQueues(self._sessions)
        self.jobs = RedisJobs(self._sessions)
        self.events = RedisEvents(self._sessions)
        self.schedules = RedisSchedules(self._sessions)
        watch_forks(self)

    def _set_up(self) -> None:
        self._adder = Adder(self._target.location)
        self._exchanger = Exchanger()

    def start_over(self) -> None:
        self._set_up()  # its ids would be the parent's, and a batch of one pass for the other's
        self._sessions.start_over()

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
                await session.ensure_visible(queue)
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
            if answer.was_missing:
                answer = await self._exchange_again(session, marker, answer, fetch)
        if answer.has_unsorted:
            session.sort(queue)
        return answer.exchange

    async def _exchange_again(
        self, session: Session, marker: QueueMarker, answer: Answer, fetch: Fetch | None
    ) -> Answer:
        """Register a queue again that was missing, and only then fetch from it."""
        await session.register_again(marker.queue)
        if fetch is None or answer.exchange.leases or marker.queue not in session.registered:
            return answer
        again = await self._exchanger.exchange(session.connections, marker, (), pack(()), fetch)
        settled = replace(again.exchange, results=answer.exchange.results)
        return replace(again, exchange=settled)

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
        is_late = self._exchanger.is_late
        return await rescue(
            self._sessions.current(),
            queue,
            max_stalls,
            unless_within_ms,
            own=lambda: None if is_late(queue) else held_here(self.location, queue),
        )
