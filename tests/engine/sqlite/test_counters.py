"""The record of what happened: how long it is kept, and statistics by the minute."""

from __future__ import annotations

import pytest

from tests.conformance.support import QUEUE, ManualClock, error, job, news_of, tail_of, window_of
from toril.engine.contract.hot_path import Fetch
from toril.engine.sqlite import SqliteEngine
from toril.engine.sqlite.storage.transaction import Transaction
from toril.model.settlement import Complete, Fail

MINUTE = 60_000
DAY = 24 * 60 * MINUTE


async def finish(engine: SqliteEngine, clock: ManualClock, name: str, took_ms: int) -> None:
    await engine.add(QUEUE, [job(name)])
    answer = await engine.exchange(QUEUE, [], Fetch(1, "worker", took_ms + MINUTE))
    clock.advance(took_ms)
    (lease,) = answer.leases
    failed = name.startswith("bad")
    done = Fail(lease, error(lease)) if failed else Complete(lease)
    await engine.exchange(QUEUE, [done], None)


async def test_statistics_are_of_the_window_that_was_asked_for() -> None:
    clock = ManualClock()
    engine = SqliteEngine(None, clock=clock)
    await finish(engine, clock, "long-ago", 10)
    clock.advance(10 * MINUTE)
    await finish(engine, clock, "bad", 10)
    clock.advance(3 * MINUTE)
    await finish(engine, clock, "just-now", 10)

    async def within(minutes: int) -> tuple[int, int]:
        found = await window_of(engine, QUEUE, minutes * MINUTE)
        return found.completed, found.failed

    assert await within(1) == (1, 0)
    assert await within(2) == (1, 0)
    assert await within(5) == (1, 1)
    assert await within(12) == (1, 1)
    assert await within(15) == (2, 1)
    clock.advance(2 * MINUTE)
    assert await within(1) == (0, 0)
    assert await within(20) == (2, 1)
    await engine.close()


@pytest.mark.parametrize(
    ("took_ms", "bucket"), [(0, 0), (1, 1), (2, 2), (3, 2), (4, 3), (1_023, 10), (1_024, 11)]
)
async def test_an_attempt_is_counted_by_the_power_of_two_it_took(took_ms: int, bucket: int) -> None:
    clock = ManualClock()
    engine = SqliteEngine(None, clock=clock)
    await finish(engine, clock, "a", took_ms)
    found = await window_of(engine, QUEUE, MINUTE)
    assert dict(found.histogram) == {bucket: 1}
    assert found.duration_ms_sum == took_ms
    await engine.close()


async def test_statistics_of_long_ago_are_forgotten() -> None:
    def minutes(tx: Transaction) -> int:
        return len(tx.rows("SELECT DISTINCT minute FROM metric"))

    clock = ManualClock()
    engine = SqliteEngine(None, clock=clock)
    await finish(engine, clock, "a", 0)
    clock.advance(15 * DAY - clock.wall_ms() % MINUTE)  # counters are looked through on the minute
    await finish(engine, clock, "b", 0)
    assert (await window_of(engine, QUEUE, 30 * DAY)).completed == 1
    assert await engine._storage.writer.read(minutes) == 1
    await engine.close()


async def test_the_record_of_events_does_not_grow_without_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def recorded(tx: Transaction) -> int:
        return tx.value("SELECT count(*) FROM event")

    monkeypatch.setattr("toril.engine.sqlite.event_log.KEPT_EVENTS", 200)
    engine = SqliteEngine(None)
    start = await tail_of(engine, QUEUE)
    for n in range(1_300):
        await engine.add(QUEUE, [job(f"j{n:04}")])
    assert 200 <= await engine._storage.writer.read(recorded) < 200 + 500
    told, _ = await news_of(engine, QUEUE, start, 2_000)
    assert [event.job_id for event in told[-200:]] == [f"j{n:04}" for n in range(1_100, 1_300)]
    await engine.close()


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
