"""The embedded engine: the contract of `toril.engine.base` on one SQLite file."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import count
from pathlib import Path
from urllib.parse import quote

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
from toril.engine.sqlite import events, jobs, queue_rows, queues, schedules
from toril.engine.sqlite.diagnosis import examine
from toril.engine.sqlite.hot_path import add, exchange, leases
from toril.engine.sqlite.storage.connection import MEMORY
from toril.engine.sqlite.storage.wake import Topic, Wake
from toril.engine.sqlite.storage.writer import Writer
from toril.model.job import Job, Lease, NewJob, QueueRef
from toril.model.limits import KeyLimits, Limits
from toril.model.options import RateLimit
from toril.model.schedule import Schedule
from toril.model.settlement import Settlement
from toril.model.state import JobState


class SqliteEngine:
    """Queues in one SQLite file that several processes share, or in this process's memory."""

    def __init__(
        self, path: str | None, *, clock: Clock | None = None, create: bool = True
    ) -> None:
        """Prepare; `open` opens the file.

        Args:
            path: The file; None keeps everything in memory.
            clock: The store's time; the machine's unless given.
            create: Make the file if it is not there.
        """
        self._path = MEMORY if path is None else str(Path(path).absolute())
        self._clock = clock or SystemClock()
        self._create = create
        # Tokens must differ between processes whose workers have the same name.
        self._salt = secrets.token_hex(4)
        self._fetches = count()
        self._on_the_way: dict[str, QueueRef] = {}
        self._closed = False
        self._set_up()

    def _set_up(self) -> None:
        self._wake = Wake(None if self._path == MEMORY else self._path)
        self._writer = Writer(
            self._path,
            self._clock,
            self._wake,
            create=self._create,
            before_commit=events.write_down,
        )

    @property
    def capabilities(self) -> Capabilities:
        on_disk = self._path != MEMORY
        return Capabilities("sqlite", durable=on_disk, shared=on_disk, bullmq=False)

    @property
    def location(self) -> str:
        return "memory://" if self._path == MEMORY else f"sqlite:///{quote(self._path)}"

    async def open(self) -> None:
        if self._closed:
            self._closed = False
            self._set_up()
        await self._writer.start()

    async def close(self) -> None:
        self._closed = True
        await self._writer.stop()
        self._wake.close()  # after it: the last commits wake others, too

    async def register(
        self,
        queue: QueueRef,
        *,
        rate_limit: RateLimit | None = None,
        concurrency: int | None = None,
        by_key: KeyLimits | None = None,
    ) -> None:
        limits = Limits(rate_limit, concurrency, by_key)
        await self._writer.promise(queues.register, queue, limits)

    async def lift(self, queue: QueueRef) -> None:
        await self._writer.promise(queues.lift, queue)

    async def queues(self) -> list[QueueInfo]:
        return await self._writer.read(queue_rows.every)

    async def info(self, queue: QueueRef) -> QueueInfo | None:
        return await self._writer.read(queue_rows.info, queue)

    async def pause(self, queue: QueueRef) -> None:
        await self._writer.promise(queues.set_paused, queue, paused=True)

    async def resume(self, queue: QueueRef) -> None:
        await self._writer.promise(queues.set_paused, queue, paused=False)

    async def drain(self, queue: QueueRef, *, delayed: bool = False) -> int:
        total = 0
        while removed := await self._writer.promise(queues.remove_ready, queue, delayed=delayed):
            total += removed
        return total

    async def clean(self, queue: QueueRef, state: JobState, grace_ms: int, limit: int) -> list[str]:
        removed: list[str] = []
        while len(removed) < limit:
            most = min(queues.CHUNK, limit - len(removed))
            some = await self._writer.promise(queues.remove_old, queue, state, grace_ms, most)
            removed += some
            if len(some) < most:
                break
        return removed

    async def obliterate(self, queue: QueueRef, *, force: bool = False) -> int:
        total = 0
        while removed := await self._writer.promise(queues.obliterate, queue, force=force):
            total += removed
        return total

    async def upsert_schedule(self, queue: QueueRef, schedule: Schedule) -> int:
        return await self._writer.promise(schedules.upsert, queue, schedule)

    async def remove_schedule(self, queue: QueueRef, schedule_id: str) -> bool:
        return await self._writer.promise(schedules.remove, queue, schedule_id)

    async def schedules(self, queue: QueueRef) -> list[ScheduleInfo]:
        return await self._writer.read(schedules.every, queue)

    async def add(
        self, queue: QueueRef, jobs: Sequence[NewJob], batch: Batch | None = None
    ) -> list[Added]:
        return await self._writer.promise(add.add, queue, jobs, batch)

    async def exchange(
        self, queue: QueueRef, settlements: Sequence[Settlement], fetch: Fetch | None
    ) -> Exchange:
        if fetch is None:
            return await self._writer.promise(
                exchange.exchange, queue, settlements, None, token="", signal=0
            )
        token = f"{fetch.worker}:{self._salt}{next(self._fetches)}"
        signal = self._wake.signal(Topic.WORK, queue)
        # A handler may block the event loop before the answer arrives: the keeper holds
        # on to what nobody has seen yet.
        self._on_the_way[token] = queue
        try:
            # Nothing is promised to who only takes jobs: a fetch that a loss of power undoes
            # is fetched again. So the new leases do not wait for the disk.
            run = partial(exchange.exchange, token=token, signal=signal)
            if not settlements or self._path == MEMORY:
                return await self._writer.write(run, queue, settlements, fetch)
            answer, kept = await self._writer.pledge(run, queue, settlements, fetch)
            return replace(answer, kept=kept)
        finally:
            del self._on_the_way[token]

    async def wait(self, queue: QueueRef, until_ms: int | None, signal: int) -> None:
        timeout = None if until_ms is None else (until_ms - self._clock.wall_ms()) / 1000
        await self._wake.wait(Topic.WORK, queue, signal, timeout)

    def keeper(self) -> SqliteKeeper:
        return SqliteKeeper(self._writer, self._on_the_way)

    async def note(self, queue: QueueRef, notes: Sequence[Note]) -> None:
        await self._writer.write(leases.note, queue, notes)

    async def rescue(
        self,
        queue: QueueRef,
        max_stalls: int,
        unless_within_ms: int = 0,  # noqa: ARG002 - an index finds them at once
    ) -> list[Stalled]:
        return await self._writer.write(leases.rescue, queue, max_stalls)

    async def counts(self, queue: QueueRef) -> dict[JobState, int]:
        return await self._writer.read(queue_rows.counts, queue)

    async def get(self, queue: QueueRef, ids: Sequence[str]) -> list[Job | None]:
        return await self._writer.read(jobs.get, queue, ids)

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
        return await self._writer.read(
            jobs.page, queue, states=states, name=name, tag=tag, limit=limit, cursor=cursor
        )

    async def logs(
        self, queue: QueueRef, job_id: str, *, start: int = 0, limit: int = 1000
    ) -> list[str]:
        return await self._writer.read(jobs.logs, queue, job_id, start, limit)

    async def metrics(self, queue: QueueRef, window_ms: int) -> MetricsWindow:
        return await self._writer.read(events.window, queue, window_ms)

    async def endings(self, queue: QueueRef, ids: Sequence[str]) -> dict[str, Ending | None]:
        return await self._writer.read(jobs.endings, queue, ids)

    async def events(
        self, queue: QueueRef, cursor: str | None, limit: int = 1000
    ) -> tuple[list[EventRecord], str]:
        return await self._writer.read(events.events_after, queue, cursor, limit)

    async def wait_event(self, queue: QueueRef, cursor: str, timeout: float) -> None:
        signal = self._wake.signal(Topic.EVENT, queue)
        found, _ = await self.events(queue, cursor, 1)
        if not found:
            await self._wake.wait(Topic.EVENT, queue, signal, timeout)

    async def examine(self) -> list[Finding]:
        path = None if self._path == MEMORY else self._path
        return await asyncio.to_thread(examine, path)

    async def promote(self, queue: QueueRef, ids: Sequence[str]) -> list[str]:
        return await self._writer.promise(queues.promote, queue, ids)

    async def retry(self, queue: QueueRef, ids: Sequence[str]) -> list[str]:
        return await self._writer.promise(queues.retry, queue, ids)

    async def remove(self, queue: QueueRef, ids: Sequence[str]) -> list[str]:
        return await self._writer.promise(queues.remove, queue, ids)

    async def cancel(self, queue: QueueRef, ids: Sequence[str]) -> list[str]:
        return await self._writer.promise(queues.cancel, queue, ids)

    async def change(
        self,
        queue: QueueRef,
        job_id: str,
        *,
        priority: int | None = None,
        delay_ms: int | None = None,
        data: str | None = None,
    ) -> None:
        await self._writer.promise(
            queues.change, queue, job_id, priority=priority, delay_ms=delay_ms, data=data
        )


class SqliteKeeper:
    """Renews leases through the writer's thread, which no handler can block."""

    def __init__(self, writer: Writer, on_the_way: Mapping[str, QueueRef]) -> None:
        self._writer = writer
        self._on_the_way = on_the_way

    def extend(self, leases: Sequence[Lease], lease_ms: int) -> list[Lease]:
        on_the_way = list(self._on_the_way.items())
        if not leases and not on_the_way:
            return []
        return self._writer.write_blocking(leases.extend, leases, on_the_way, lease_ms)

    def cancelled(self, leases: Sequence[Lease]) -> list[Lease]:
        return self._writer.read_blocking(leases.asked_to_cancel, leases)

    def close(self) -> None:
        """Nothing to let go of: the connection is the writer's."""
