"""Waiting for the marker: no wake-up is lost, whoever hears of it."""

from __future__ import annotations

import asyncio

import pytest

from tests.conformance.support import QUEUE, job
from tests.worker.waiting import until
from toril.engine.redis import RedisEngine
from toril.engine.redis.connection.wire import Wire
from toril.engine.redis.scripts.keys import keys_of


async def idle(engine: RedisEngine) -> asyncio.Task[None]:
    """Wait for work until the server knows of it."""
    waiting = asyncio.create_task(engine.wait(QUEUE, None, 0))

    async def is_blocked() -> bool:
        clients = await engine._sessions.current().connections.call("CLIENT", "LIST")
        return "cmd=bzpopmin" in clients

    await until(is_blocked)
    return waiting


async def test_a_marker_that_comes_when_nobody_waits_any_more_is_put_back(
    engine: RedisEngine, wire: Wire
) -> None:
    await engine.queues.register(QUEUE)
    waiting = await idle(engine)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await engine.add(QUEUE, [job("a")])
    marker = keys_of(QUEUE).marker

    async def is_back() -> bool:
        return bool(await wire.call("ZSCORE", marker, "0") == "0")

    await until(is_back)


async def test_a_marker_that_comes_when_all_who_wait_were_cancelled_is_put_back(
    engine: RedisEngine,
) -> None:
    await engine.queues.register(QUEUE)
    waiting = await idle(engine)
    marker = engine._sessions.current().listeners.marker(QUEUE)
    for future in marker._waiting:
        future.cancel()
    assert not marker.wake()
    await asyncio.gather(waiting, return_exceptions=True)


async def test_who_was_told_and_is_cancelled_leaves_the_word_to_the_next(
    engine: RedisEngine,
) -> None:
    await engine.queues.register(QUEUE)
    waiting = await idle(engine)
    assert engine._sessions.current().listeners.marker(QUEUE).wake()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    async with asyncio.timeout(3):
        await engine.wait(QUEUE, None, 0)


async def test_of_many_times_that_are_told_only_the_next_is_kept(
    engine: RedisEngine, wire: Wire
) -> None:
    await engine.queues.register(QUEUE)
    waiting = await idle(engine)
    marker = keys_of(QUEUE).marker
    seconds, _ = await wire.call("TIME")
    later = (int(seconds) + 3600) * 1000
    loop = asyncio.get_running_loop()
    before = len(loop._scheduled)  # type: ignore[attr-defined]
    for n in range(50):
        await wire.call("ZADD", marker, later + n, "1")

        async def is_taken() -> bool:
            return not await wire.call("EXISTS", marker)

        await until(is_taken)
    there = [one for one in loop._scheduled if not one.cancelled()]  # type: ignore[attr-defined]
    assert len(there) <= before + 5
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
