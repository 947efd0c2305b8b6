"""What Redis remembers of producers: for a day, and not for ever."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.conformance.support import QUEUE, job
from tests.redis_server import RedisServer
from toril.engine.contract.hot_path import Batch
from toril.engine.redis import RedisEngine
from toril.engine.redis.connection.endpoint import parse
from toril.engine.redis.connection.wire import Wire
from toril.engine.redis.scripts.keys import keys_of

DAY = 86_400_000
PRODUCERS = f"{keys_of(QUEUE).own}producers"


@pytest.fixture(scope="module")
def moved_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A server whose time is moved by hand."""
    server = RedisServer(tmp_path_factory.mktemp("redis"), movable_clock=True)
    server.start()
    yield server
    server.stop()


@pytest.fixture
async def wire(moved_server: RedisServer) -> AsyncIterator[Wire]:
    made = await Wire.open(parse(moved_server.url))
    yield made
    await made.close()
    moved_server.flush()


@pytest.fixture
async def engine(moved_server: RedisServer) -> AsyncIterator[RedisEngine]:
    made = RedisEngine(parse(moved_server.url))
    yield made
    await made.close()


async def add_and_end(server: RedisServer, number: int) -> None:
    """Do what a program does that adds one job and ends."""
    engine = RedisEngine(parse(server.url))
    await engine.add(QUEUE, [job(f"job-{number}")])
    await engine.close()


@pytest.mark.usefixtures("wire")
async def test_producers_that_ended_are_forgotten_when_another_one_comes(
    moved_server: RedisServer, wire: Wire
) -> None:
    for n in range(30):
        await add_and_end(moved_server, n)
    assert await wire.call("HLEN", PRODUCERS) == 30
    moved_server.pass_time(DAY // 2)
    await add_and_end(moved_server, 30)
    assert await wire.call("HLEN", PRODUCERS) == 31
    moved_server.pass_time(DAY // 2 + 2)
    await add_and_end(moved_server, 31)
    assert await wire.call("HLEN", PRODUCERS) == 2


async def test_producers_that_ended_are_forgotten_when_nobody_adds_any_more(
    moved_server: RedisServer, wire: Wire
) -> None:
    await add_and_end(moved_server, 0)
    moved_server.pass_time(DAY + 1)
    assert await wire.call("EXISTS", PRODUCERS) == 0


async def test_producers_that_ended_are_forgotten_while_one_goes_on(
    moved_server: RedisServer, engine: RedisEngine, wire: Wire
) -> None:
    for n in range(150):
        await engine.add(QUEUE, [job(f"job-{n}")], Batch(f"producer-{n}", 1))
    moved_server.pass_time(DAY - 1_000)
    await engine.add(QUEUE, [job("last")], Batch("producer-0", 2))
    moved_server.pass_time(2_000)
    while await wire.call("HLEN", PRODUCERS) > 1:  # each sweep checks some
        await engine.queues.sweep(QUEUE)
    assert await wire.call("HKEYS", PRODUCERS) == ["producer-0"]


async def test_a_batch_that_comes_again_within_a_day_is_known_among_many(
    moved_server: RedisServer, engine: RedisEngine
) -> None:
    await engine.add(QUEUE, [job("a")], Batch("first", 1))
    for n in range(200):
        await engine.add(QUEUE, [job(f"job-{n}")], Batch(f"producer-{n}", 1))
    moved_server.pass_time(DAY - 1_000)
    await engine.jobs.remove(QUEUE, ["a"])
    await engine.add(QUEUE, [job("a")], Batch("first", 1))
    assert await engine.jobs.get(QUEUE, ["a"]) == [None]
