"""Many queues wait on one engine: a lost wake-up is found by one look at all of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.conformance.support import job
from tests.engine.sqlite.support import opened
from tests.worker.waiting import until
from toril.engine.contract.hot_path import Fetch
from toril.engine.sqlite import SqliteEngine, queue_rows
from toril.engine.sqlite.storage import wake
from toril.model.job import QueueRef

PROMPT = 1.5
"""Seconds within which a waiter is woken by a datagram: well before five."""

QUEUES = [QueueRef("bull", f"q{n:02}") for n in range(40)]
FETCH = Fetch(1, "worker", 30_000)


@asynccontextmanager
async def idle(
    engine: SqliteEngine, queues: Iterable[QueueRef]
) -> AsyncIterator[dict[QueueRef, asyncio.Task[None]]]:
    """Let a worker wait for each queue, as it does after an exchange that found nothing."""
    waiting: dict[QueueRef, asyncio.Task[None]] = {}
    for queue in queues:
        answer = await engine.exchange(queue, [], FETCH)
        assert list(answer.leases) == []
        waiting[queue] = asyncio.create_task(engine.wait(queue, None, answer.token))
    await asyncio.sleep(0)
    try:
        yield waiting
    finally:
        for task in waiting.values():
            task.cancel()
        await asyncio.gather(*waiting.values(), return_exceptions=True)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "jobs.db"


@pytest.fixture
async def elsewhere(path: Path) -> AsyncIterator[SqliteEngine]:
    """An engine of another process, as far as the wake-ups can tell."""
    async with opened(path) as made:
        yield made


@pytest.fixture
async def deaf(elsewhere: SqliteEngine, monkeypatch: pytest.MonkeyPatch) -> SqliteEngine:
    """The same, whose datagrams are all lost."""
    monkeypatch.setattr(elsewhere._storage.wake, "_send", lambda address, message: None)
    return elsewhere


async def test_a_job_for_any_of_forty_queues_wakes_its_waiter_at_once(
    path: Path, elsewhere: SqliteEngine
) -> None:
    async with opened(path) as engine, idle(engine, QUEUES) as waiting:
        for queue in (QUEUES[-1], QUEUES[0], QUEUES[20]):
            await elsewhere.add(queue, [job("a")])
            async with asyncio.timeout(PROMPT):
                await waiting[queue]
        assert sum(not task.done() for task in waiting.values()) == len(QUEUES) - 3


@pytest.mark.parametrize("delay", [0, 0.05])
async def test_a_job_whose_wake_up_was_lost_is_found_by_the_next_look(
    path: Path, deaf: SqliteEngine, monkeypatch: pytest.MonkeyPatch, delay: float
) -> None:
    monkeypatch.setattr(wake, "SAFETY_SECONDS", 0.5)
    async with opened(path) as engine, idle(engine, QUEUES) as waiting:
        await deaf.add(QUEUES[-1], [job("a", delay=delay)])
        assert not waiting[QUEUES[-1]].done()
        async with asyncio.timeout(PROMPT):
            await waiting[QUEUES[-1]]
        assert sum(not task.done() for task in waiting.values()) == len(QUEUES) - 1


async def test_the_looks_go_on_until_all_have_been_woken(
    path: Path, deaf: SqliteEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wake, "SAFETY_SECONDS", 0.1)
    async with opened(path) as engine, idle(engine, QUEUES) as waiting:
        for queue in QUEUES[::10]:
            await deaf.add(queue, [job("a")])
            async with asyncio.timeout(PROMPT):
                await waiting[queue]


async def test_one_query_looks_for_all_queues(
    path: Path, elsewhere: SqliteEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[int] = []
    with_work = queue_rows.with_work

    def look(tx: object, queues: list[QueueRef]) -> object:
        looked.append(len(queues))
        return with_work(tx, queues)  # type: ignore[arg-type]

    monkeypatch.setattr(queue_rows, "with_work", look)
    monkeypatch.setattr(wake, "SAFETY_SECONDS", 0.2)
    async with opened(path) as engine, idle(engine, QUEUES):
        await until(lambda: len(looked) >= 2)
        assert set(looked) == {len(QUEUES)}
    looked.clear()
    await asyncio.sleep(0.5)
    assert looked == []  # nobody waits any more
