"""Many queues wait on one engine: few connections, and no wake-up is late."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import pytest

from tests.conformance.support import PREFIX, job
from tests.redis_server import RedisServer
from tests.worker.waiting import until
from toril.engine.contract.hot_path import Fetch
from toril.engine.redis import RedisEngine
from toril.engine.redis.connection.endpoint import parse
from toril.engine.redis.connection.wire import Wire
from toril.engine.redis.hot_path import marker
from toril.engine.redis.scripts.keys import keys_of
from toril.model.job import QueueRef

PROMPT = 1.5
"""Seconds within which a waiter is woken: well before a blocking call of five seconds ends."""

QUEUES = [QueueRef(PREFIX, f"q{n:02}") for n in range(40)]
FETCH = Fetch(1, "worker", 30_000)
MOST_CONNECTIONS = 16


async def blocked(wire: Wire, command: str = "bzpopmin") -> int:
    """Return how many connections wait in a command."""
    clients = await wire.call("CLIENT", "LIST")
    return sum(f"cmd={command} " in line for line in clients.splitlines())


@asynccontextmanager
async def idle(
    engine: RedisEngine, queues: Iterable[QueueRef]
) -> AsyncIterator[dict[QueueRef, asyncio.Task[None]]]:
    """Let a worker wait for each queue, as it does after an exchange that found nothing."""
    waiting: dict[QueueRef, asyncio.Task[None]] = {}
    for queue in queues:
        answer = await engine.exchange(queue, [], FETCH)
        assert list(answer.leases) == []
        waiting[queue] = asyncio.create_task(engine.wait(queue, None, answer.token))
    try:
        yield waiting
    finally:
        for task in waiting.values():
            task.cancel()
        await asyncio.gather(*waiting.values(), return_exceptions=True)


async def all_are_heard(engine: RedisEngine, queues: Iterable[QueueRef]) -> None:
    """Wait until every waiter is in a blocking call, for which none has to end by itself."""
    markers = [engine._sessions.current().listeners.marker(queue) for queue in queues]
    async with asyncio.timeout(PROMPT):
        await until(
            lambda: all(keys_of(one.queue).marker in one._listener._listening for one in markers)
        )


@pytest.fixture
async def elsewhere(server: RedisServer) -> AsyncIterator[RedisEngine]:
    """An engine of another process, as far as Redis can tell."""
    made = RedisEngine(parse(server.url))
    yield made
    await made.close()


async def test_a_job_for_any_of_forty_queues_wakes_its_waiter_at_once(
    engine: RedisEngine, elsewhere: RedisEngine
) -> None:
    async with idle(engine, QUEUES) as waiting:
        await all_are_heard(engine, QUEUES)
        for queue in (QUEUES[-1], QUEUES[0], QUEUES[20]):
            await elsewhere.add(queue, [job("a")])
            async with asyncio.timeout(PROMPT):
                await waiting[queue]
        others = [task for task in waiting.values() if not task.done()]
        assert len(others) == len(QUEUES) - 3


async def test_forty_queues_wait_on_few_connections(engine: RedisEngine, wire: Wire) -> None:
    async with idle(engine, QUEUES):
        await all_are_heard(engine, QUEUES)
        assert 0 < await blocked(wire) <= MOST_CONNECTIONS


async def test_every_one_of_forty_queues_is_woken_when_all_get_a_job(
    engine: RedisEngine, elsewhere: RedisEngine
) -> None:
    async with idle(engine, QUEUES) as waiting:
        await all_are_heard(engine, QUEUES)
        await asyncio.gather(*(elsewhere.add(queue, [job("a")]) for queue in QUEUES))
        async with asyncio.timeout(PROMPT):
            await asyncio.gather(*waiting.values())


async def test_a_queue_that_begins_to_wait_later_than_the_others_is_heard_too(
    engine: RedisEngine, elsewhere: RedisEngine
) -> None:
    *first, last = QUEUES
    async with idle(engine, first):
        await all_are_heard(engine, first)
        async with idle(engine, [last]) as waiting:
            await asyncio.sleep(0.1)  # far less than the blocking call that is under way
            await elsewhere.add(last, [job("a")])
            async with asyncio.timeout(PROMPT):
                await waiting[last]


async def test_a_queue_that_waits_again_is_heard_again(
    engine: RedisEngine, elsewhere: RedisEngine
) -> None:
    *first, last = QUEUES
    async with idle(engine, first):
        for n in range(3):
            async with idle(engine, [last]) as waiting:
                await asyncio.sleep(0.05)
                await elsewhere.add(last, [job(f"j{n}")])
                async with asyncio.timeout(PROMPT):
                    await waiting[last]
            (lease,) = (await engine.exchange(last, [], FETCH)).leases
            assert lease.id == f"j{n}"


async def test_a_closed_engine_leaves_no_wake_up_keys_behind(
    engine: RedisEngine, wire: Wire
) -> None:
    *first, last = QUEUES
    async with idle(engine, first):
        await all_are_heard(engine, first)
        await wire.call("CONFIG", "RESETSTAT")
        async with idle(engine, [last]):
            await all_are_heard(engine, [last])
            # Ending the call of the others took a key of the engine's own.
            assert "cmdstat_pexpire" in await wire.call("INFO", "commandstats")
        await engine.close()
    assert await wire.call("KEYS", f"{PREFIX}::toril:*:wake:*") == []


async def test_a_wake_up_key_that_no_call_took_is_removed_with_the_engine_and_expires_without(
    engine: RedisEngine, wire: Wire
) -> None:
    listener = engine._sessions.current().listeners.marker(QUEUES[0])._listener
    listener._end_call()
    await asyncio.gather(*listener._sending)
    (key,) = await wire.call("KEYS", f"{PREFIX}::toril:*:wake:*")
    assert 0 < await wire.call("PTTL", key) <= 60_000
    await engine.close()
    assert await wire.call("KEYS", f"{PREFIX}::toril:*:wake:*") == []


async def test_a_marker_that_was_lost_costs_no_more_than_the_blocking_call(
    engine: RedisEngine, elsewhere: RedisEngine, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(marker, "_BLOCK_SECONDS", 1)
    lost = QUEUES[-1]
    async with idle(engine, QUEUES) as waiting:
        await all_are_heard(engine, QUEUES)
        # In one step, so that no waiter gets the marker.
        await wire.call("MULTI")
        await wire.call("RPUSH", f"{PREFIX}:{lost.name}:wait", "a")
        await wire.call("ZADD", f"{PREFIX}:{lost.name}:marker", 0, "0")
        await wire.call("DEL", f"{PREFIX}:{lost.name}:marker")
        await wire.call("EXEC")
        assert not waiting[lost].done()
        async with asyncio.timeout(1 + PROMPT):
            await waiting[lost]
        assert sum(not task.done() for task in waiting.values()) == len(QUEUES) - 1
