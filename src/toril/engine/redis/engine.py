"""The Redis engine: the contract of `toril.engine.base` on a server, in BullMQ's layout."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from itertools import count
from typing import Any
from weakref import WeakKeyDictionary

from msgspec.structs import replace

from toril.clock import Clock, SystemClock
from toril.engine.base import (
    Added,
    Batch,
    Capabilities,
    Ending,
    EventRecord,
    Exchange,
    Fetch,
    Finding,
    MetricsWindow,
    Note,
    Page,
    QueueInfo,
    ScheduleInfo,
    Stalled,
)
from toril.engine.redis import events, job_hash, jobs, queues, schedules
from toril.engine.redis.connection.connections import Connections, connections_to
from toril.engine.redis.connection.target import Place
from toril.engine.redis.connection.wire import WireLostError
from toril.engine.redis.diagnosis.checks import examine
from toril.engine.redis.hot_path import add, exchange
from toril.engine.redis.hot_path.lease_keeper import RedisKeeper
from toril.engine.redis.hot_path.producer_ids import Lanes
from toril.engine.redis.hot_path.unanswered import Askers
from toril.engine.redis.scripts.keys import keys_of
from toril.engine.redis.session import Home
from toril.errors import (
    EngineError,
    StoreBusyError,
    StoreFullError,
    StoreReadOnlyError,
    StoreUnavailableError,
)
from toril.model.job import Job, NewJob, QueueRef
from toril.model.limits import KeyLimits, Limits
from toril.model.options import RateLimit
from toril.model.repeating import PREFIX
from toril.model.schedule import Schedule
from toril.model.settlement import Settlement
from toril.model.state import JobState

_RESCUED_AT_ONCE = 1000


class RedisEngine:
    """Queues on Redis, which Node.js services share."""

    def __init__(self, place: Place, *, clock: Clock | None = None) -> None:
        """Prepare; nothing connects before the first call.

        Args:
            place: A server, one that Sentinels watch, or a cluster.
            clock: For the time until which to wait; the machine's unless given.
        """
        self._place = place
        self._clock = clock or SystemClock()
        self._salt = secrets.token_hex(4)
        self._fetches = count()
        self._lanes = Lanes()
        # A connection belongs to an event loop, and the sync facade has one of its own.
        self._homes: WeakKeyDictionary[asyncio.AbstractEventLoop, Home] = WeakKeyDictionary()
        self._on_the_way: dict[str, tuple[QueueRef, str]] = {}
        self._askers = Askers()
        self._closed = False

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities("redis", durable=True, shared=True, bullmq=True, remote=True)

    @property
    def location(self) -> str:
        return self._place.location

    @property
    def _home(self) -> Home:
        if self._closed:
            raise StoreUnavailableError(f"{self.location} is closed; open the manager again")
        loop = asyncio.get_running_loop()
        home = self._homes.get(loop)
        if home is None:
            home = self._homes[loop] = Home(self._place)
        return home

    async def open(self) -> None:
        self._closed = False
        await self._home.connections.open()

    async def close(self) -> None:
        self._closed = True
        here = asyncio.get_running_loop()
        for loop, home in list(self._homes.items()):
            if loop is here:
                del self._homes[loop]
                await home.close()
            elif loop.is_running():
                del self._homes[loop]
                ended = asyncio.run_coroutine_threadsafe(home.close(), loop)
                await asyncio.wrap_future(ended)
            # One that stands still now can close its own when it runs again.

    async def _run(self, script: str, queue: QueueRef, *args: Any) -> Any:
        return await self._home.connections.run(script, queue, *args)

    # Queues

    async def register(
        self,
        queue: QueueRef,
        *,
        rate_limit: RateLimit | None = None,
        concurrency: int | None = None,
        by_key: KeyLimits | None = None,
    ) -> None:
        home = self._home
        limits = Limits(rate_limit, concurrency, by_key)
        await queues.register(home.connections, queue, limits)
        home.known.add(queue)

    async def lift(self, queue: QueueRef) -> None:
        await queues.lift(self._home.connections, queue)

    async def queues(self) -> list[QueueInfo]:
        return await queues.every(self._home.connections)

    async def info(self, queue: QueueRef) -> QueueInfo | None:
        return await queues.info(self._home.connections, queue)

    async def pause(self, queue: QueueRef) -> None:
        await self._run("set_paused", queue, 1)

    async def resume(self, queue: QueueRef) -> None:
        await self._run("set_paused", queue, 0)

    async def drain(self, queue: QueueRef, *, delayed: bool = False) -> int:
        return await queues.drain(self._home.connections, queue, delayed=delayed)

    async def clean(self, queue: QueueRef, state: JobState, grace_ms: int, limit: int) -> list[str]:
        return await queues.clean(self._home.connections, queue, state, grace_ms, limit)

    async def obliterate(self, queue: QueueRef, *, force: bool = False) -> int:
        home = self._home
        total = await queues.obliterate(home.connections, queue, force=force)
        home.known.discard(queue)
        return total

    # Schedules

    async def upsert_schedule(self, queue: QueueRef, schedule: Schedule) -> int:
        home = self._home
        await home.begin(queue)
        try:
            return await schedules.upsert(home.connections, queue, schedule)
        finally:
            home.end()

    async def remove_schedule(self, queue: QueueRef, schedule_id: str) -> bool:
        return bool(await self._run("remove_schedule", queue, schedule_id))

    async def schedules(self, queue: QueueRef) -> list[ScheduleInfo]:
        return await schedules.every(self._home.connections, queue)

    # The hot path

    async def add(
        self, queue: QueueRef, jobs: Sequence[NewJob], batch: Batch | None = None
    ) -> list[Added]:
        home = self._home
        await home.begin(queue)
        try:
            if not jobs:
                return []
            packed = add.pack(jobs)
            if not jobs[0].options.delay_ms:
                home.tell_of_add(queue)
            if batch is not None:
                sequence = (batch.producer, batch.sequence)
                answer = await home.connections.run("add", queue, *sequence, *packed)
            else:
                answer = await self._add_once(home.connections, queue, packed)
        finally:
            home.end()
        return add.unpack(jobs, answer)

    async def _add_once(
        self, connections: Connections, queue: QueueRef, packed: Sequence[Any]
    ) -> Any:
        """Add a batch; if the answer is lost ask again, which adds nothing that is there.

        Raises:
            StoreBusyError: That could not be asked either: whether the batch is there is not
                known, whatever the second error says of itself.
        """
        with self._lanes.batch(queue) as batch:
            sequence = (batch.producer, batch.sequence)
            try:
                return await connections.run("add", queue, *sequence, *packed)
            except WireLostError as lost:
                try:
                    return await connections.run("add", queue, *sequence, *packed)
                except EngineError as error:
                    raise StoreBusyError(f"{lost}; then {error}") from error

    async def exchange(
        self, queue: QueueRef, settlements: Sequence[Settlement], fetch: Fetch | None
    ) -> Exchange:
        worker, wanted, lease_ms = exchange.asker_of(settlements, fetch)
        token = f"{worker}:{self._salt}{next(self._fetches)}"
        packed, order, again = exchange.pack(settlements)
        asker = self._askers[queue, worker]
        home = self._home
        await home.begin(queue)
        record, lost = asker.begin()
        watch = home.watch(queue)
        if fetch is not None:
            # A handler may block the event loop before the answer arrives: the keeper holds on
            # to what nobody has seen yet.
            self._on_the_way[token] = queue, record
            watch.announce(worker)
        answer = None
        try:
            answer = await home.connections.run(
                "exchange",
                queue,
                *(worker, record, token, wanted, lease_ms, len(lost)),
                *(text for pair in lost.items() for text in pair),
                *packed,
            )
            exchange = exchange.unpack(queue, answer, order, again)
            if any(lease.id.startswith(PREFIX) for lease in exchange.leases):
                exchange = await self._carry_on(home.connections, exchange, answer[0], wanted)
        except (StoreUnavailableError, StoreFullError, StoreReadOnlyError):
            # An outage of hours has thousands of calls that were never carried out.
            if answer is None:
                asker.withdraw(record, lost)
            else:
                asker.fail(record, token, lost)
            raise
        except BaseException:
            # Either answer may be the lost one: the next exchange gives the leases again, and
            # with them their schedules are carried on.
            asker.fail(record, token, lost)
            raise
        finally:
            self._on_the_way.pop(token, None)
            home.end()
        asker.succeed(record, lost)
        watch.server_ms.set(answer[0])
        if answer[5]:
            home.sort(queue)
        if answer[6]:
            home.forget(queue)
        return exchange

    async def _carry_on(
        self, connections: Connections, exchange: Exchange, now: int, wanted: int
    ) -> Exchange:
        """Make the next jobs of schedules, before their jobs are given out."""
        leases = exchange.leases
        due = await schedules.advance(connections, leases[0].queue, now, leases)
        if due is None or len(leases) >= wanted:
            return exchange
        known = exchange.next_due
        return replace(exchange, next_due=due if known is None else min(due, known))

    async def wait(
        self,
        queue: QueueRef,
        until_ms: int | None,
        signal: int,  # noqa: ARG002 - a marker that came since then is there still
    ) -> None:
        watch = self._home.watch(queue)
        timeout = None if until_ms is None else max(watch.server_ms.until(until_ms), 0)
        await watch.wait(timeout)

    def keeper(self) -> RedisKeeper:
        return RedisKeeper(lambda: connections_to(self._place), self._on_the_way)

    async def note(self, queue: QueueRef, notes: Sequence[Note]) -> None:
        packed: list[Any] = []
        for note in notes:
            lease, lines = note.lease, note.lines
            packed += (lease.id, lease.token, note.progress_json or "", len(lines), *lines)
        await self._run("note", queue, *packed)

    async def rescue(
        self, queue: QueueRef, max_stalls: int, unless_within_ms: int = 0
    ) -> list[Stalled]:
        found: list[Stalled] = []
        passed = 0
        while True:
            looked, *stalled = await self._run(
                "rescue", queue, max_stalls, passed, _RESCUED_AT_ONCE, unless_within_ms
            )
            found += [
                Stalled(job_id, bool(poisoned))
                for job_id, poisoned in zip(stalled[::2], stalled[1::2], strict=True)
            ]
            passed += looked - len(stalled) // 2
            if looked < _RESCUED_AT_ONCE:
                return found

    # Looking

    async def counts(self, queue: QueueRef) -> dict[JobState, int]:
        found = await self._run("counts", queue)
        return dict(zip(_COUNTED, found, strict=True))

    async def get(self, queue: QueueRef, ids: Sequence[str]) -> list[Job | None]:
        return await jobs.get(self._home.connections, queue, ids)

    async def page(
        self,
        queue: QueueRef,
        *,
        states: Sequence[JobState] = (),
        name: str | None = None,
        tag: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page:
        return await jobs.page(
            self._home.connections,
            queue,
            states=states,
            name=name,
            tag=tag,
            limit=limit,
            cursor=cursor,
        )

    async def logs(
        self, queue: QueueRef, job_id: str, *, start: int = 0, limit: int = 1000
    ) -> list[str]:
        key = keys_of(queue).logs(job_id)
        lines: list[str] = await self._home.connections.call(
            "LRANGE", key, start, start + limit - 1
        )
        return lines

    async def metrics(self, queue: QueueRef, window_ms: int) -> MetricsWindow:
        return events.window_of(await self._run("metrics", queue, window_ms), window_ms)

    async def endings(self, queue: QueueRef, ids: Sequence[str]) -> dict[str, Ending | None]:
        answers = await self._run("endings", queue, *ids)
        return {
            job_id: job_hash.ending_of(found)
            for job_id, found in zip(ids, answers, strict=True)
            if found is not None
        }

    async def events(
        self, queue: QueueRef, cursor: str | None, limit: int = 1000
    ) -> tuple[list[EventRecord], str]:
        connections, key = self._home.connections, keys_of(queue).events
        if cursor is None:
            last = await connections.call("XREVRANGE", key, "+", "-", "COUNT", 1)
            return [], last[0][0] if last else "0-0"
        after = events.read_cursor(cursor)
        entries = await connections.call("XRANGE", key, f"({after}", "+", "COUNT", limit)
        return events.records_of(entries), entries[-1][0] if entries else after

    async def wait_event(self, queue: QueueRef, cursor: str, timeout: float) -> None:
        after = events.read_cursor(cursor)
        await self._home.wait_event(queue, after, timeout)

    async def examine(self) -> list[Finding]:
        return await examine(await self._home.connections.masters(), self._clock)

    # Control

    async def promote(self, queue: QueueRef, ids: Sequence[str]) -> list[str]:
        return list(await self._run("promote", queue, *ids))

    async def retry(self, queue: QueueRef, ids: Sequence[str]) -> list[str]:
        return list(await self._run("retry", queue, *ids))

    async def remove(self, queue: QueueRef, ids: Sequence[str]) -> list[str]:
        return list(await self._run("remove", queue, *ids))

    async def cancel(self, queue: QueueRef, ids: Sequence[str]) -> list[str]:
        return await queues.cancel(self._home.connections, queue, ids)

    async def change(
        self,
        queue: QueueRef,
        job_id: str,
        *,
        priority: int | None = None,
        delay_ms: int | None = None,
        data: str | None = None,
    ) -> None:
        await queues.change(
            self._home.connections, queue, job_id, priority=priority, delay_ms=delay_ms, data=data
        )


_COUNTED = (
    JobState.WAITING,
    JobState.PRIORITIZED,
    JobState.DELAYED,
    JobState.WAITING_CHILDREN,
    JobState.ACTIVE,
    JobState.COMPLETED,
    JobState.FAILED,
)
