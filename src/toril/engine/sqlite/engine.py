"""The embedded engine: implements the engine contract on one SQLite file."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import count
from weakref import WeakKeyDictionary

from msgspec.structs import replace

from toril.clock import Clock, SystemClock
from toril.engine.contract import rules
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
from toril.engine.sqlite import clock_back, event_log
from toril.engine.sqlite.diagnosis import examine
from toril.engine.sqlite.events import SqliteEvents
from toril.engine.sqlite.hot_path import leases
from toril.engine.sqlite.hot_path.add import add
from toril.engine.sqlite.hot_path.exchange import exchange
from toril.engine.sqlite.hot_path.safety_check import SafetyCheck
from toril.engine.sqlite.jobs import SqliteJobs
from toril.engine.sqlite.queues import SqliteQueues
from toril.engine.sqlite.schedules import SqliteSchedules
from toril.engine.sqlite.storage.storage import Storage
from toril.engine.sqlite.storage.topic import Topic
from toril.engine.sqlite.storage.writer import Writer
from toril.forks import ForkAware, watch_forks
from toril.model.job import Lease, NewJob, QueueRef
from toril.model.settlement import Settlement

_NO_TOKEN = WakeToken(0)


class SqliteEngine(ForkAware):
    """Keeps queues in one SQLite file that processes can share, or in this process's memory."""

    def __init__(
        self, path: str | None, *, clock: Clock | None = None, create: bool = True
    ) -> None:
        """Create an engine without opening the file; `open` does that.

        Args:
            path: The file; None keeps everything in memory.
            clock: The store's clock; defaults to the system clock.
            create: Whether to create the file if it does not exist.
        """
        self._storage = Storage(
            path, clock or SystemClock(), create=create, before_commit=event_log.write_events
        )
        self._draw_salt()
        self._fetches = count()
        self._in_flight: dict[str, QueueRef] = {}
        self._safety_checks: WeakKeyDictionary[asyncio.AbstractEventLoop, SafetyCheck] = (
            WeakKeyDictionary()
        )
        self.queues = SqliteQueues(self._storage)
        self.jobs = SqliteJobs(self._storage)
        self.events = SqliteEvents(self._storage)
        self.schedules = SqliteSchedules(self._storage)
        watch_forks(self)

    def _draw_salt(self) -> None:
        """Make lease tokens differ between processes whose workers have the same name."""
        self._salt = secrets.token_hex(4)

    def before_fork(self) -> None:
        self._storage.writer.pause()

    def after_fork(self) -> None:
        self._storage.writer.go_on()

    def start_over(self) -> None:
        self._draw_salt()
        self._in_flight.clear()
        self._storage.start_over()

    @property
    def capabilities(self) -> Capabilities:
        on_disk = self._storage.path is not None
        return Capabilities(
            "sqlite", durable=on_disk, shared=on_disk, bullmq=False, local_file=on_disk
        )

    @property
    def location(self) -> str:
        return self._storage.location

    async def open(self) -> None:
        await self._storage.open()

    async def close(self) -> None:
        safety_check = self._safety_checks.pop(asyncio.get_running_loop(), None)
        if safety_check is not None:
            await safety_check.close()
        await self._storage.close()

    async def examine(self) -> list[Finding]:
        return await asyncio.to_thread(examine, self._storage.path)

    async def add(
        self, queue: QueueRef, jobs: Sequence[NewJob], batch: Batch | None = None
    ) -> list[Added]:
        return await self._storage.writer.synced(add, queue, jobs, batch, self.location)

    async def exchange(
        self, queue: QueueRef, settlements: Sequence[Settlement], fetch: Fetch | None
    ) -> Exchange:
        writer = self._storage.writer
        if fetch is None:
            return await writer.synced(
                exchange, queue, settlements, None, lease_token="", token=_NO_TOKEN
            )
        unique = f"{self._salt}{next(self._fetches)}"
        lease_token = rules.lease_token(fetch.worker, fetch.lease_ms, unique)
        token = self._storage.wake.token(Topic.WORK, queue)
        # A handler may block the event loop before the answer arrives, so the keeper also
        # renews the leases of fetches that are still in flight.
        self._in_flight[lease_token] = queue
        try:
            # New leases do not wait for the disk: if a loss of power undoes a fetch, the jobs
            # are simply fetched again.
            run = partial(exchange, lease_token=lease_token, token=token)
            if not settlements or self._storage.path is None:
                return await writer.committed(run, queue, settlements, fetch)
            answer, flushed = await writer.sync_later(run, queue, settlements, fetch)
            return replace(answer, flushed=flushed)
        finally:
            del self._in_flight[lease_token]

    def check_follow_ups(self, queue: QueueRef, target: QueueRef) -> None:
        """Accept any queue: one transaction can write to all queues of a file."""

    async def wait(self, queue: QueueRef, until_ms: int | None, token: WakeToken) -> None:
        clock = self._storage.clock
        timeout = None if until_ms is None else (until_ms - clock.wall_ms()) / 1000
        loop = asyncio.get_running_loop()
        safety_check = self._safety_checks.get(loop)
        if safety_check is None:
            safety_check = self._safety_checks[loop] = SafetyCheck(self._storage)
        with safety_check.watching(queue):
            await self._storage.wake.wait(Topic.WORK, {queue: token}, timeout)

    def keeper(self) -> SqliteKeeper:
        return SqliteKeeper(self._storage.writer, self._in_flight)

    async def note(self, queue: QueueRef, notes: Sequence[Note]) -> None:
        await self._storage.writer.committed(leases.note, queue, notes)

    async def rescue(
        self, queue: QueueRef, max_stalls: int, unless_within_ms: int = 0
    ) -> list[Stalled]:
        writer = self._storage.writer
        found = await writer.committed(
            leases.rescue, queue, max_stalls, unless_within_ms, partial(self._own, queue)
        )
        place = clock_back.Place() if found.clock_went_back else None
        while place is not None:
            place = await writer.committed(clock_back.shorten_delays, queue, place)
        return list(found.stalled)

    def _own(self, queue: QueueRef) -> leases.Own:
        # In this order, because a fetch in flight leaves its leases to their holder.
        return leases.Own(list(self._in_flight), held_here(self.location, queue))


class SqliteKeeper:
    """Renews leases through the writer's thread, which handlers cannot block."""

    def __init__(self, writer: Writer, in_flight: Mapping[str, QueueRef]) -> None:
        self._writer = writer
        self._in_flight = in_flight

    def extend(self, held: Sequence[Lease], lease_ms: int) -> list[Lease]:
        in_flight = list(self._in_flight.items())
        if not held and not in_flight:
            return []
        return self._writer.committed_blocking(leases.extend, held, in_flight, lease_ms)

    def cancelled(self, held: Sequence[Lease]) -> list[Lease]:
        return self._writer.read_blocking(leases.asked_to_cancel, held)

    def close(self) -> None:
        """Do nothing: the connection belongs to the writer."""
