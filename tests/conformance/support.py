"""What the conformance tests are made of. Nothing here knows how an engine works."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Any, NamedTuple, Protocol

import pytest

from toril.engine.contract.engine import Engine
from toril.engine.contract.events import EventRecord
from toril.engine.contract.hot_path import (
    Added,
    AddStatus,
    Batch,
    Exchange,
    Fetch,
    Refusal,
    Stalled,
)
from toril.engine.contract.jobs import Page
from toril.engine.contract.metrics import MetricsWindow
from toril.model.job import AttemptError, Job, Lease, NewJob, QueueRef
from toril.model.job_options import JobOptions, encode_options
from toril.model.options import Keep
from toril.model.settlement import Complete, Fail, Release, Retry, Settlement
from toril.model.state import JobState

PREFIX = "{bull}"
"""With a hash tag, which a cluster wants."""

QUEUE = QueueRef(PREFIX, "work")
OTHER_QUEUE = QueueRef(PREFIX, "other-work")
LEASE_MS = 2_000
"""Long against a call, short enough for an engine whose time cannot be moved."""

PROMPT = 3
"""Seconds within which a call returns. An engine that was told nothing looks later than that."""

on_shared_stores = pytest.mark.parametrize(
    "store", ["sqlite-file", "redis", "redis-sentinel", "redis-cluster"], indirect=True
)
"""For what needs two engines on one store: the stores that several processes can share."""

START_MS = 1_750_000_030_000
"""Half a minute into a minute, so that small steps stay within it."""


class ManualClock:
    """A store's clock that stands still until it is moved."""

    def __init__(self) -> None:
        self._now = START_MS

    def advance(self, ms: int) -> None:
        self._now += ms

    def wall_ms(self) -> int:
        return self._now

    def monotonic(self) -> float:
        return self._now / 1000


class Store(Protocol):
    """A store under test, and its time."""

    def engine(self) -> Engine:
        """Return a further engine on the store; the store closes it."""
        ...

    async def advance(self, ms: int) -> None:
        """Let time pass, really where it cannot be done otherwise."""
        ...

    def pass_time(self, ms: int) -> None:
        """Let time pass while the event loop is blocked."""
        ...

    async def now(self) -> int:
        """Return the store's time."""
        ...


_numbers = count(1)


def job(job_id: str | None = None, data: str = "{}", *, name: str = "send", **args: Any) -> NewJob:
    """Return a new job; the keyword arguments are those of `JobOptionArgs`."""
    options = JobOptions.of(args)
    return NewJob(
        job_id or f"job-{next(_numbers):06}", name, data, options, encode_options(options)
    )


def jobs(*ids: str, **args: Any) -> list[NewJob]:
    """Return a new job for each id, all with the same options."""
    return [job(i, **args) for i in ids]


def error(lease: Lease, message: str = "it did not work") -> AttemptError:
    """Return what a worker writes down when a lease's attempt has failed."""
    return AttemptError(lease.attempts_made + 1, "ValueError", message, "the traceback")


def fail(lease: Lease, keep: Keep | None = None) -> Fail:
    return Fail(lease, error(lease), keep)


def retry(lease: Lease, delay_ms: int = 0) -> Retry:
    return Retry(lease, error(lease), delay_ms)


SETTLEMENTS = {
    "complete": Complete,
    "fail": fail,
    "retry": retry,
    "release": Release,
}
"""Each way in which a worker can give a job back, by name."""


class Result(NamedTuple):
    """What became of a job that was to be added."""

    id: str
    status: AddStatus


def ids(found: Sequence[Lease | Job | Added | Result | Stalled]) -> list[str]:
    return [one.id for one in found]


async def tail_of(engine: Engine, queue: QueueRef) -> str:
    """Return a cursor at the end of a queue's events."""
    return (await engine.events.tails([queue]))[queue]


async def news_of(
    engine: Engine, queue: QueueRef, cursor: str, limit: int = 1000
) -> tuple[list[EventRecord], str]:
    """Return what happened in one queue after a cursor, and where to go on."""
    found = (await engine.events.read({queue: cursor}, limit=limit)).get(queue)
    return ([], cursor) if found is None else (list(found.records), found.cursor)


async def window_of(engine: Engine, queue: QueueRef, window_ms: int) -> MetricsWindow:
    """Return what a queue did in the last `window_ms`."""
    (found,) = await engine.queues.overview([queue], window_ms)
    return found.window


class Pen:
    """One queue of one engine, with the few calls that tests are made of."""

    def __init__(self, engine: Engine, queue: QueueRef, store: Store) -> None:
        self.engine = engine
        self.queue = queue
        self.store = store

    async def advance(self, ms: int) -> None:
        await self.store.advance(ms)

    async def add(
        self, *new: NewJob | str, batch: Batch | None = None, **args: Any
    ) -> list[Result]:
        """Add jobs; a text stands for a job with that id and the options that are given."""
        made = [job(one, **args) if isinstance(one, str) else one for one in new]
        added = await self.engine.add(self.queue, made, batch)
        assert {one.stored_in for one in added} <= {self.engine.location}
        return [Result(one.id, one.status) for one in added]

    async def exchange(
        self,
        settlements: Sequence[Settlement] = (),
        fetch: int | None = 0,
        *,
        worker: str = "worker",
        lease_ms: int = LEASE_MS,
    ) -> Exchange:
        wanted = None if fetch is None else Fetch(fetch, worker, lease_ms)
        return await self.engine.exchange(self.queue, settlements, wanted)

    async def fetch(self, limit: int = 1, **how: Any) -> list[Lease]:
        return list((await self.exchange(fetch=limit, **how)).leases)

    async def one(self, **how: Any) -> Lease:
        """Fetch the one job that is next."""
        (lease,) = await self.fetch(1, **how)
        return lease

    async def order(self) -> list[str]:
        """Take all that is ready; return the ids in the order in which they came."""
        return ids(await self.fetch(1000))

    async def settle(self, *settlements: Settlement) -> list[Refusal | None]:
        return list((await self.exchange(settlements, fetch=None)).results)

    async def active(
        self, *new: NewJob | str, lease_ms: int = LEASE_MS, **args: Any
    ) -> list[Lease]:
        """Add jobs and take all that are ready."""
        await self.add(*new, **args)
        return await self.fetch(1000, lease_ms=lease_ms)

    async def finished(self, *new: NewJob | str, keep: Keep | None = None, **args: Any) -> None:
        """Add jobs and complete them, one after the other."""
        for lease in await self.active(*new, **args):
            assert await self.settle(Complete(lease, keep=keep)) == [None]

    async def job(self, job_id: str) -> Job:
        (found,) = await self.engine.jobs.get(self.queue, [job_id])
        assert found is not None, f"{job_id} is not there"
        return found

    async def state(self, job_id: str) -> JobState | None:
        (found,) = await self.engine.jobs.get(self.queue, [job_id])
        return None if found is None else found.state

    async def counts(self) -> dict[str, int]:
        """Return the states that have jobs."""
        found = await self.engine.queues.counts(self.queue)
        return {state.value: n for state, n in found.items() if n}

    async def pages(self, *, limit: int, **what: Any) -> list[Page]:
        """Walk through a listing to its end."""
        pages = [await self.engine.jobs.page(self.queue, limit=limit, **what)]
        while pages[-1].cursor is not None:
            pages.append(
                await self.engine.jobs.page(
                    self.queue, limit=limit, cursor=pages[-1].cursor, **what
                )
            )
            assert len(pages) < 1000, "the listing has no end"
        return pages

    async def listed(self, *, limit: int = 1000, **what: Any) -> list[str]:
        """Return the ids of a listing, from all its pages."""
        return [i for page in await self.pages(limit=limit, **what) for i in ids(page.jobs)]

    async def tail(self) -> Tail:
        """Follow the events from now on."""
        return Tail(self, await tail_of(self.engine, self.queue))


class Tail:
    """The events of a queue since it was made, or last read."""

    def __init__(self, pen: Pen, cursor: str) -> None:
        self._pen = pen
        self.cursor = cursor

    async def read(self) -> list[EventRecord]:
        found, self.cursor = await news_of(self._pen.engine, self._pen.queue, self.cursor)
        return found

    async def kinds(self) -> list[tuple[str, str]]:
        return [(event.kind, event.job_id) for event in await self.read()]
