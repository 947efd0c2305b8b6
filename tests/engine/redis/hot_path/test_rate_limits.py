"""What a rate limit does on Redis beyond the contract, as BullMQ does."""

from __future__ import annotations

import asyncio

from tests.conformance.support import PROMPT
from toril.engine.contract.hot_path import Exchange, Fetch
from toril.engine.redis import RedisEngine
from toril.engine.redis.connection.wire import Wire
from toril.model.job import NewJob, QueueRef
from toril.model.job_options import JobOptions, encode_options
from toril.model.limits import Limits, RateLimit

QUEUE = QueueRef("bull", "work")
PLAIN = JobOptions.of({})


async def add(engine: RedisEngine, *ids: str) -> None:
    options = encode_options(PLAIN)
    await engine.add(QUEUE, [NewJob(one, "send", "{}", PLAIN, options) for one in ids])


async def fetch(engine: RedisEngine, limit: int) -> tuple[list[str], Exchange]:
    answer = await engine.exchange(QUEUE, [], Fetch(limit, "worker", 60_000))
    return [lease.id for lease in answer.leases], answer


async def test_jobs_that_are_only_to_be_failed_take_no_place_under_a_rate_limit(
    engine: RedisEngine, wire: Wire
) -> None:
    await add(engine, "poison", "a", "b", "c")
    await wire.call("HSET", "bull:work:poison", "defa", "it stalled too often")
    await engine.queues.register(QUEUE, Limits(rate=RateLimit(2, per=60)))
    taken, answer = await fetch(engine, 9)
    assert taken == ["poison", "a", "b"]
    assert answer.limited_until is not None
    assert await wire.call("GET", "bull:work:limiter") == "2"


async def test_places_that_such_jobs_left_are_told_of(engine: RedisEngine, wire: Wire) -> None:
    await add(engine, "poison", "a", "venom", "b")
    for one in ("poison", "venom"):
        await wire.call("HSET", f"bull:work:{one}", "defa", "it stalled too often")
    await engine.queues.register(QUEUE, Limits(rate=RateLimit(2, per=60)))
    await wire.call("DEL", "bull:work:marker")
    taken, answer = await fetch(engine, 3)
    assert taken == ["poison", "a", "venom"]
    assert answer.limited_until is None
    assert await wire.call("ZSCORE", "bull:work:marker", "0") == "0"


async def test_what_a_rate_limit_keeps_back_leaves_the_time_at_which_its_window_ends(
    engine: RedisEngine, wire: Wire
) -> None:
    await engine.queues.register(QUEUE, Limits(rate=RateLimit(1, per=60)))
    await add(engine, "a", "b")
    _, answer = await fetch(engine, 9)
    assert answer.limited_until is not None
    marker = await wire.call("ZRANGE", "bull:work:marker", 0, -1, "WITHSCORES")
    assert marker == ["0", "0", "1", str(answer.limited_until)]


async def test_an_earlier_time_stays_when_a_rate_limit_keeps_jobs_back(
    engine: RedisEngine, wire: Wire
) -> None:
    await engine.queues.register(QUEUE, Limits(rate=RateLimit(1, per=60)))
    await add(engine, "a", "b")
    await wire.call("ZADD", "bull:work:marker", 1_750_000_000_000, "1")
    await fetch(engine, 9)
    assert await wire.call("ZSCORE", "bull:work:marker", "1") == "1750000000000"


async def test_an_idle_worker_comes_when_the_window_ends_though_who_was_kept_back_is_gone(
    engine: RedisEngine, wire: Wire
) -> None:
    await engine.queues.register(QUEUE, Limits(rate=RateLimit(1, per=0.2)))
    await add(engine, "a", "b")
    await wire.call("DEL", "bull:work:marker")
    waiting = asyncio.create_task(engine.wait(QUEUE, None, 0))
    await fetch(engine, 9)  # and it never comes again
    async with asyncio.timeout(PROMPT):
        await waiting
    taken, _ = await fetch(engine, 9)
    assert taken == ["b"]
