"""The embedded engine: the contract on one SQLite file."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import count
from weakref import WeakKeyDictionary

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
from toril.engine.sqlite import event_log
from toril.engine.sqlite.diagnosis import examine
from toril.engine.sqlite.events import SqliteEvents
from toril.engine.sqlite.hot_path import leases
from toril.engine.sqlite.hot_path.add import add
from toril.engine.sqlite.hot_path.exchange import exchange
from toril.engine.sqlite.hot_path.lookout import Lookout
from toril.engine.sqlite.jobs import SqliteJobs
from toril.engine.sqlite.queues import SqliteQueues
from toril.engine.sqlite.schedules import SqliteSchedules
from toril.engine.sqlite.storage.storage import Storage
from toril.engine.sqlite.storage.wake import Topic
from toril.engine.sqlite.storage.writer import Writer
from toril.model.job import Lease, NewJob, QueueRef
from toril.model.settlement import Settlement

_NO_TOKEN = WakeToken(0)


class SqliteEngine:
    """Queues in one SQLite file that several processes share, or in this process's memory."""

    def __init__(
        self, path: str | None, *, clock: Clock | None = None, create: bool = True
    ) -> None:
        """Prepare; `open` opens the file.

        Args:
            path: The file; None keeps everything in memory.
            clock: The store's time; the machine's unless given.
            create: Make the file if it does not exist.
        """
        self._storage = Storage(
            path, clock or SystemClock(), create=create, before_commit=event_log.write_down
        )
        # Tokens must differ between processes whose workers have the same name.
        self._salt = secrets.token_hex(4)
        self._fetches = count()
        self._in_flight: dict[str, QueueRef] = {}
        self._lookouts: WeakKeyDictionary[asyncio.AbstractEventLoop, Lookout] = WeakKeyDictionary()
        self.queues = SqliteQueues(self._storage)
        self.jobs = SqliteJobs(self._storage)
        self.events = SqliteEvents(self._storage)
        self.schedules = SqliteSchedules(self._storage)

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
        lookout = self._lookouts.pop(asyncio.get_running_loop(), None)
        if lookout is not None:
            await lookout.close()
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
        lease_token = f"{fetch.worker}:{self._salt}{next(self._fetches)}"
        token = self._storage.wake.token(Topic.WORK, queue)
        # A handler may block the event loop before the answer arrives: the keeper renews
        # leases that nobody here has seen yet.
        self._in_flight[lease_token] = queue
        try:
            # A fetch promises nothing: one that a loss of power undoes is fetched again. So
            # the new leases do not wait for the disk.
            run = partial(exchange, lease_token=lease_token, token=token)
            if not settlements or self._storage.path is None:
                return await writer.committed(run, queue, settlements, fetch)
            answer, flushed = await writer.sync_later(run, queue, settlements, fetch)
            return replace(answer, flushed=flushed)
        finally:
            del self._in_flight[lease_token]

    def check_follow_ups(self, queue: QueueRef, target: QueueRef) -> None:
        """Every queue of a file can be written in one transaction."""

    async def wait(self, queue: QueueRef, until_ms: int | None, token: WakeToken) -> None:
        clock = self._storage.clock
        timeout = None if until_ms is None else (until_ms - clock.wall_ms()) / 1000
        loop = asyncio.get_running_loop()
        lookout = self._lookouts.get(loop)
        if lookout is None:
            lookout = self._lookouts[loop] = Lookout(self._storage)
        with lookout.watching(queue):
            await self._storage.wake.wait(Topic.WORK, {queue: token}, timeout)

    def keeper(self) -> SqliteKeeper:
        return SqliteKeeper(self._storage.writer, self._in_flight)

    async def note(self, queue: QueueRef, notes: Sequence[Note]) -> None:
        await self._storage.writer.committed(leases.note, queue, notes)

    async def rescue(
        self, queue: QueueRef, max_stalls: int, unless_within_ms: int = 0
    ) -> list[Stalled]:
        return await self._storage.writer.committed(
            leases.rescue, queue, max_stalls, unless_within_ms
        )


class SqliteKeeper:
    """Renews leases through the writer's thread, which no handler can block."""

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
        """Nothing to release: the connection is the writer's."""
