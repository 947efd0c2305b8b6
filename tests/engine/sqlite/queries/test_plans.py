"""The queries' costs: an index for each, and no more work however many jobs there are.

SQLite counts the steps of its virtual machine, so that costs are compared without a clock.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator
from importlib.resources import files
from typing import Any

import apsw
import pytest

from tests.conformance.support import QUEUE, ManualClock, error, job
from toril.engine.contract.hot_path import Fetch
from toril.engine.sqlite import SqliteEngine
from toril.engine.sqlite.queries import load
from toril.engine.sqlite.storage.connection import connect
from toril.model.job import Lease
from toril.model.options import Keep
from toril.model.settlement import Complete, Fail, Release, Retry, Settlement
from toril.model.state import JobState

FEW, MANY = 40, 4_000

INTENDED = {
    ("exchange", "next"): "job_ready",
    ("exchange", "next_due"): "job_due",
    ("exchange", "due"): "job_due",
    ("leases", "expired"): "job_active",
    ("settle", "held"): "sqlite_autoindex_job_1",  # queue, id
    ("settle", "trim_by_count"): "job_finished",
    ("settle", "trim_by_age"): "job_finished",
    ("queues", "ready_seqs"): "job_ready",
    ("queues", "delayed_seqs"): "job_due",
    ("queues", "finished_seqs"): "job_finished",
    ("jobs", "page_ready"): "job_ready",
    ("jobs", "page_due"): "job_due",
    ("jobs", "page_active"): "job_active",
    ("jobs", "page_finished"): "job_finished",
    ("jobs", "page_all"): "sqlite_autoindex_job_1",
    ("jobs", "logs"): "log_of_job",
    ("jobs", "errors_of"): "error_of_job",
    ("events", "events_after"): "event_of_queue",
}

BIG = "job|body|result|progress|error|log|tag|event|metric|dedup"
FILES = sorted(
    file.name.removesuffix(".sql")
    for file in files("toril.engine.sqlite.queries").iterdir()
    if file.name.endswith(".sql")
)
SCAN = re.compile(rf"\bSCAN (?:{BIG})\b(?! VIRTUAL)")


@pytest.fixture
def store() -> Iterator[apsw.Connection]:
    """A new store in memory."""
    connection = connect(":memory:")
    yield connection
    connection.close()


def plan(store: apsw.Connection, sql: str) -> str:
    names = re.findall(r":(\w+)", re.sub(r"--.*", "", sql))
    found = store.execute(f"EXPLAIN QUERY PLAN {sql}", dict.fromkeys(names))
    return "\n".join(row[3] for row in found)


@pytest.mark.parametrize(("file", "name"), INTENDED)
def test_a_query_uses_the_index_made_for_it(store: apsw.Connection, file: str, name: str) -> None:
    assert f"INDEX {INTENDED[file, name]} " in plan(store, load(file)[name])


@pytest.mark.parametrize(
    ("file", "name"),
    [(file, name) for file in FILES for name in load(file)],
)
def test_no_query_walks_through_a_table(store: apsw.Connection, file: str, name: str) -> None:
    # `SCAN job` in `next` is the part of the line that was read from its index.
    found = plan(store, load(file)[name]).replace("CO-ROUTINE job\n", "CO-ROUTINE ready\n")
    if "CO-ROUTINE ready" in found:
        found = found.replace("SCAN job", "SCAN ready")
    assert SCAN.search(found) is None


# Steps


class Ring:
    """An engine with so many jobs in each state, and what an operation on it costs."""

    def __init__(self, jobs: int) -> None:
        self._jobs = jobs
        self.engine = SqliteEngine(None, clock=ManualClock())
        self.leases: list[Lease] = []

    def take(self, connection: apsw.Connection) -> None:
        """Remember the engine's connection."""
        self._connection = connection

    async def cost(self, operation: Callable[[Ring], Awaitable[object]]) -> int:
        """Do something; return how many steps its statements took."""
        steps = 0

        def step() -> bool:
            nonlocal steps
            steps += 1
            return False

        self._connection.set_progress_handler(step, 1)
        await operation(self)
        self._connection.set_progress_handler(None)
        return steps

    async def exchange(self, settlements: list[Settlement], fetch: int) -> list[Lease]:
        wanted = Fetch(fetch, "worker", 60_000)
        return list((await self.engine.exchange(QUEUE, settlements, wanted)).leases)

    async def settle(self, make: Callable[[Lease], Settlement]) -> None:
        await self.exchange([make(self.leases.pop())], 1)

    async def list(self, state: JobState | None, tag: str | None = None) -> None:
        states = [] if state is None else [state]
        page = await self.engine.jobs.page(QUEUE, states=states, tag=tag, limit=10)
        assert len(page.jobs) == 10

    async def fill(self) -> None:
        async def add(prefix: str, count: int = self._jobs, **args: Any) -> None:
            new = [job(f"{prefix}-{n:06}", **args) for n in range(count)]
            await self.engine.add(QUEUE, new)

        await add("done", tags=["tagged"])
        await add("broken")
        await self.exchange(
            [
                Complete(lease, "1") if lease.id.startswith("done") else Fail(lease, error(lease))
                for lease in await self.exchange([], 2 * self._jobs)
            ],
            0,
        )
        await add("held", 30)
        self.leases = await self.exchange([], 30)
        await add("waiting")
        await add("prioritized", priority=3)
        await add("delayed", delay=600)

    async def keep_one_less(self) -> None:
        counts = await self.engine.queues.counts(QUEUE)
        await self.settle(lambda lease: Complete(lease, "1", Keep(count=counts[COMPLETED])))


COMPLETED = JobState.COMPLETED


@pytest.fixture(scope="module")
def rings() -> Iterator[tuple[asyncio.Runner, Ring, Ring]]:
    """A small store and a large one, and what runs them."""
    with asyncio.Runner() as runner:
        made = Ring(FEW), Ring(MANY)
        for ring in made:
            apsw.connection_hooks.append(ring.take)
            runner.run(ring.engine.queues.register(QUEUE))
            apsw.connection_hooks.remove(ring.take)
            runner.run(ring.fill())
        yield runner, *made
        for ring in made:
            runner.run(ring.engine.close())


OPERATIONS: dict[str, Callable[[Ring], Awaitable[object]]] = {
    "add": lambda ring: ring.engine.add(QUEUE, [job() for _ in range(5)]),
    "fetch": lambda ring: ring.exchange([], 5),
    "complete": lambda ring: ring.settle(lambda lease: Complete(lease, "1")),
    "complete and remove": lambda ring: ring.settle(lambda lease: Complete(lease, "1", Keep(0))),
    "complete and keep by age": lambda ring: ring.settle(
        lambda lease: Complete(lease, "1", Keep(age=600))
    ),
    "complete and keep by count": lambda ring: ring.settle(
        lambda lease: Complete(lease, "1", Keep(1_000_000))
    ),
    "complete and keep one less": Ring.keep_one_less,
    "fail": lambda ring: ring.settle(lambda lease: Fail(lease, error(lease))),
    "retry": lambda ring: ring.settle(lambda lease: Retry(lease, error(lease), 1_000)),
    "release": lambda ring: ring.settle(Release),
    "rescue": lambda ring: ring.engine.rescue(QUEUE, 5),
    "counts": lambda ring: ring.engine.queues.counts(QUEUE),
    "get": lambda ring: ring.engine.jobs.get(QUEUE, ["done-000001", "delayed-000001"]),
    "endings": lambda ring: ring.engine.jobs.endings(QUEUE, ["broken-000001", "waiting-000009"]),
    "events": lambda ring: ring.engine.events.tails([QUEUE]),
    "metrics": lambda ring: ring.engine.queues.overview([QUEUE], 600_000),
    "promote": lambda ring: ring.engine.jobs.promote(QUEUE, ["delayed-000007"]),
    "remove": lambda ring: ring.engine.jobs.remove(QUEUE, ["waiting-000035"]),
    "clean": lambda ring: ring.engine.queues.clean(QUEUE, COMPLETED, 0, 1),
    "list": lambda ring: ring.list(None),
    "list by tag": lambda ring: ring.list(None, "tagged"),
    "list waiting": lambda ring: ring.list(JobState.WAITING),
    "list prioritized": lambda ring: ring.list(JobState.PRIORITIZED),
    "list delayed": lambda ring: ring.list(JobState.DELAYED),
    "list active": lambda ring: ring.list(JobState.ACTIVE),
    "list completed": lambda ring: ring.list(COMPLETED),
    "list failed": lambda ring: ring.list(JobState.FAILED),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_costs_the_same_with_many_jobs_as_with_few(
    rings: tuple[asyncio.Runner, Ring, Ring], name: str
) -> None:
    runner, small, large = rings
    few = runner.run(small.cost(OPERATIONS[name]))
    many = runner.run(large.cost(OPERATIONS[name]))
    assert few > 0
    assert many <= few * 1.1 + 20
