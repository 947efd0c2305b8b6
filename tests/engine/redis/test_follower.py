"""Following many queues takes one blocking call, and so does waiting for results in them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.conformance.support import PREFIX, PROMPT, job, tail_of
from tests.redis_server import RedisServer
from tests.worker.waiting import until
from toril.engine.contract.hot_path import Fetch
from toril.engine.contract.jobs import Ending
from toril.engine.redis import RedisEngine
from toril.engine.redis.connection.endpoint import parse
from toril.engine.redis.connection.wire import Wire
from toril.model.job import QueueRef
from toril.model.options import Keep
from toril.model.settlement import Complete
from toril.model.state import JobState
from toril.queues.results import Results

QUEUES = [QueueRef(PREFIX, f"q{n:02}") for n in range(20)]


async def reading(wire: Wire) -> int:
    """Return how many connections wait for events."""
    clients = await wire.call("CLIENT", "LIST")
    return sum("cmd=xread " in line for line in clients.splitlines())


async def is_followed_by_one(wire: Wire) -> None:
    """Wait until there is one blocking call; a call that was given up may end a moment later."""

    async def is_one() -> bool:
        return await reading(wire) == 1

    await until(is_one)


async def complete(engine: RedisEngine, queue: QueueRef, result: str, **how: Keep) -> None:
    (lease,) = (await engine.exchange(queue, [], Fetch(1, "worker", 30_000))).leases
    answer = await engine.exchange(queue, [Complete(lease, result, **how)], None)
    assert answer.results == [None]


@pytest.fixture
async def elsewhere(server: RedisServer) -> AsyncIterator[RedisEngine]:
    """An engine of another process, as far as Redis can tell."""
    made = RedisEngine(parse(server.url))
    yield made
    await made.close()


async def test_results_in_many_queues_are_awaited_with_one_blocking_call(
    engine: RedisEngine, elsewhere: RedisEngine, wire: Wire
) -> None:
    results = Results(lambda: engine)
    waiting: list[asyncio.Task[Ending | None]] = []
    for queue in QUEUES:
        await elsewhere.add(queue, [job("a")])
        waiting.append(asyncio.create_task(results.of(queue, "a")))
    await is_followed_by_one(wire)
    for n, queue in enumerate(QUEUES):
        # Half of them leave no record: their events have to tell.
        await complete(elsewhere, queue, str(n), keep=Keep(count=n % 2))
    async with asyncio.timeout(PROMPT):
        found = await asyncio.gather(*waiting)
    assert found == [Ending(JobState.COMPLETED, str(n)) for n in range(len(QUEUES))]
    assert await reading(wire) <= 1


async def test_a_result_in_a_further_queue_is_awaited_by_the_same_call(
    engine: RedisEngine, elsewhere: RedisEngine, wire: Wire
) -> None:
    results = Results(lambda: engine)
    *first, last = QUEUES
    for queue in QUEUES:
        await elsewhere.add(queue, [job("a")])
    waiting = [asyncio.create_task(results.of(queue, "a")) for queue in first]
    await is_followed_by_one(wire)
    late = asyncio.create_task(results.of(last, "a"))
    await until(lambda: last in next(iter(results._followers.values()))._cursors)
    await is_followed_by_one(wire)
    await complete(elsewhere, last, "5", keep=Keep(count=0))
    async with asyncio.timeout(PROMPT):
        assert await late == Ending(JobState.COMPLETED, "5")
    for task in waiting:
        assert not task.done()
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


async def test_events_of_many_queues_are_read_with_one_blocking_call(
    engine: RedisEngine, elsewhere: RedisEngine, wire: Wire
) -> None:
    cursors = {queue: await tail_of(engine, queue) for queue in QUEUES}
    task = asyncio.create_task(engine.events.read(cursors, timeout=PROMPT * 100))
    await is_followed_by_one(wire)
    await elsewhere.add(QUEUES[-1], [job("a")])
    async with asyncio.timeout(PROMPT):
        found = await task
    assert list(found) == [QUEUES[-1]]
