"""Counters by the minute: what they add up to, and how long they are kept."""

from __future__ import annotations

import pytest

from tests.conformance.support import QUEUE, ManualClock, error, job, window_of
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
