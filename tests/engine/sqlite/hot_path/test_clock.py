"""A clock that goes back: the hot path goes on by the clock as it is now."""

from __future__ import annotations

from tests.conformance.support import QUEUE, ManualClock, job, window_of
from toril.engine.contract.hot_path import Fetch
from toril.engine.sqlite import SqliteEngine
from toril.model.settlement import Complete

MINUTE = 60_000
DAY = 24 * 60 * MINUTE


async def test_a_clock_that_goes_back_stops_nothing() -> None:
    clock = ManualClock()
    engine = SqliteEngine(None, clock=clock)
    await engine.add(QUEUE, [job("a"), job("b", delay=60)])
    fetch = Fetch(1, "worker", MINUTE)
    (lease,) = (await engine.exchange(QUEUE, [], fetch)).leases
    clock.advance(-5 * MINUTE)
    assert list((await engine.exchange(QUEUE, [Complete(lease)], None)).results) == [None]
    await engine.add(QUEUE, [job("c")])
    answer = await engine.exchange(QUEUE, [], fetch)
    assert [one.id for one in answer.leases] == ["c"]
    assert (await window_of(engine, QUEUE, 10 * MINUTE)).duration_ms_sum >= 0
    await engine.close()


async def test_a_rescue_is_not_skipped_for_one_that_a_clock_that_went_back_puts_in_the_future() -> (
    None
):
    clock = ManualClock()
    engine = SqliteEngine(None, clock=clock)
    await engine.queues.register(QUEUE)
    assert await engine.rescue(QUEUE, 5, MINUTE) == []
    clock.advance(-DAY)
    await engine.add(QUEUE, [job("a")])
    await engine.exchange(QUEUE, [], Fetch(1, "worker", 1_000))
    clock.advance(1_000)
    assert [one.id for one in await engine.rescue(QUEUE, 5, MINUTE)] == ["a"]
    await engine.exchange(QUEUE, [], Fetch(1, "worker", 1_000))
    clock.advance(1_000)
    assert await engine.rescue(QUEUE, 5, MINUTE) == []  # by the clock as it is now
    clock.advance(MINUTE)
    assert [one.id for one in await engine.rescue(QUEUE, 5, MINUTE)] == ["a"]
    await engine.close()
