"""A clock that jumps: nothing waits longer than was asked for by the clock as it is now.

"Clocks" in docs/internals.md lists the stored times; each has its test here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import closing

import pytest

from tests.conformance.support import LEASE_MS, Pen, error, ids, job, window_of
from toril.engine.contract.hot_path import AddStatus, Batch
from toril.model.limits import KeyLimits, Limits, RateLimit
from toril.model.options import Deduplication
from toril.model.schedule import Schedule
from toril.model.settlement import Complete, Release, Retry
from toril.model.state import JobState

HOUR = 3_600_000
DAY = 24 * HOUR
LONG_LEASE = 600_000


async def rescued(pen: Pen, unless_within_ms: int = 0) -> list[str]:
    return ids(await pen.engine.rescue(pen.queue, 5, unless_within_ms))


# Rate limits

LIMITS = {
    "window": Limits(rate=RateLimit(2, per=10)),
    "bucket": Limits(rate=RateLimit(2, per=10, burst=2)),
    "window by key": Limits(by_key=KeyLimits("k", rate=RateLimit(2, per=10))),
    "bucket by key": Limits(by_key=KeyLimits("k", rate=RateLimit(2, per=10, burst=2))),
}


@pytest.mark.parametrize("limits", LIMITS.values(), ids=LIMITS)
async def test_a_limited_queue_goes_on_when_the_clock_is_set_back(pen: Pen, limits: Limits) -> None:
    await pen.engine.queues.register(pen.queue, limits)
    await pen.add(*(job(f"j{n}", '{"k":"one"}') for n in range(9)))
    taken = await pen.fetch(9, lease_ms=LONG_LEASE)
    assert len(taken) == 2
    answer = await pen.exchange([Complete(lease) for lease in taken], 9)
    assert ids(answer.leases) == []
    await pen.advance(-DAY)
    await pen.exchange(fetch=9, lease_ms=LONG_LEASE)
    await pen.advance(10_000)
    answer = await pen.exchange(fetch=9, lease_ms=LONG_LEASE)
    total = await pen.counts()
    assert total["active"] >= 2
    assert answer.limited_until is not None
    assert answer.limited_until - await pen.store.now() <= 10_000


@pytest.mark.parametrize("limits", LIMITS.values(), ids=LIMITS)
async def test_a_limited_queue_goes_on_when_the_clock_is_set_forward(
    pen: Pen, limits: Limits
) -> None:
    await pen.engine.queues.register(pen.queue, limits)
    await pen.add(*(job(f"j{n}", '{"k":"one"}') for n in range(9)))
    await pen.fetch(9, lease_ms=LONG_LEASE)
    await pen.advance(DAY)
    assert len(await pen.fetch(9, lease_ms=LONG_LEASE)) == 2


@pytest.mark.parametrize("limits", LIMITS.values(), ids=LIMITS)
async def test_a_small_correction_of_the_clock_starts_no_more_jobs(
    pen: Pen, limits: Limits
) -> None:
    await pen.engine.queues.register(pen.queue, limits)
    await pen.add(*(job(f"j{n}", '{"k":"one"}') for n in range(9)))
    await pen.fetch(9, lease_ms=LONG_LEASE)
    await pen.advance(-100)
    assert await pen.fetch(9) == []


# Leases and rescues


async def test_a_dead_workers_job_is_rescued_within_its_lease_when_the_clock_is_set_back(
    pen: Pen,
) -> None:
    await pen.active("a", "b")
    long = await pen.active("c", lease_ms=LONG_LEASE)
    await pen.advance(-DAY)
    assert await rescued(pen) == []  # who lives renews
    await pen.advance(LEASE_MS)
    assert sorted(await rescued(pen)) == ["a", "b"]
    assert await pen.settle(Complete(long[0])) == [None]


async def test_who_lives_keeps_its_lease_when_the_clock_is_set_back(pen: Pen) -> None:
    (lease,) = await pen.active("a")
    await pen.advance(-DAY)
    await rescued(pen)
    with closing(pen.engine.keeper()) as keeper:
        assert await asyncio.to_thread(keeper.extend, [lease], LEASE_MS) == []
    await pen.advance(LEASE_MS - 100)
    assert await rescued(pen) == []
    assert await pen.settle(Complete(lease)) == [None]


async def test_leases_end_when_the_clock_is_set_forward(pen: Pen) -> None:
    (lease,) = await pen.active("a")
    await pen.advance(DAY)
    assert await rescued(pen) == ["a"]
    assert await pen.settle(Complete(lease)) != [None]


@pytest.mark.parametrize("jump", [-DAY, DAY])
async def test_a_rescue_is_not_skipped_for_one_of_another_time(pen: Pen, jump: int) -> None:
    assert await rescued(pen, HOUR) == []
    await pen.advance(jump)
    await pen.active("a")
    await pen.advance(LEASE_MS)
    assert await rescued(pen, HOUR) == ["a"]
    await pen.active("b")
    await pen.advance(LEASE_MS)
    assert await rescued(pen, HOUR) == []  # by the clock as it is now


# Delays


async def is_added(pen: Pen) -> None:
    await pen.add(job("a", delay=60))


async def is_retried(pen: Pen) -> None:
    (lease,) = await pen.active("a")
    await pen.settle(Retry(lease, error(lease), 60_000))


async def is_released(pen: Pen) -> None:
    (lease,) = await pen.active("a")
    await pen.settle(Release(lease, 60_000))


async def is_changed(pen: Pen) -> None:
    await pen.add(job("a", delay=3))
    await pen.engine.jobs.change(pen.queue, "a", delay_ms=60_000)


DELAYS = [is_added, is_retried, is_released, is_changed]


@pytest.mark.parametrize("delay", DELAYS)
async def test_a_delay_is_no_longer_than_it_was_when_the_clock_is_set_back(
    pen: Pen, delay: Callable[[Pen], Awaitable[None]]
) -> None:
    await delay(pen)
    await pen.advance(-DAY)
    await rescued(pen)
    assert await pen.fetch() == []
    await pen.advance(60_000)
    assert ids(await pen.fetch()) == ["a"]


@pytest.mark.parametrize("delay", DELAYS)
async def test_a_delay_is_over_when_the_clock_is_set_forward(
    pen: Pen, delay: Callable[[Pen], Awaitable[None]]
) -> None:
    await delay(pen)
    await pen.advance(DAY)
    assert ids(await pen.fetch()) == ["a"]


async def test_all_of_many_delays_become_shorter(pen: Pen) -> None:
    await pen.add(*(f"j{n:04}" for n in range(2_100)), delay=60)
    await pen.advance(-DAY)
    await rescued(pen)
    await pen.advance(60_000)
    taken = [await pen.fetch(1_000) for _ in range(3)]
    assert sum(map(len, taken)) == 2_100


async def test_a_point_in_time_is_waited_for_when_the_clock_is_set_back(pen: Pen) -> None:
    now = await pen.store.now()
    await pen.add(job("at", scheduled_at=(now + 60_000) / 1000), job("after", delay=30))
    await pen.advance(-HOUR)
    await rescued(pen)
    await pen.advance(60_000)
    assert ids(await pen.fetch(9)) == ["after"]
    await pen.advance(HOUR)
    assert ids(await pen.fetch(9)) == ["at"]


# Schedules


@pytest.mark.parametrize("rule", [{"every_ms": 60_000}, {"cron": "* * * * *"}])
async def test_a_schedule_goes_on_when_the_clock_is_set_back(
    pen: Pen, rule: dict[str, int | str]
) -> None:
    await pen.engine.schedules.upsert(pen.queue, Schedule.of("s", **rule))  # type: ignore[arg-type]
    await pen.advance(60_000)
    await rescued(pen, 1)
    await pen.settle(*(Complete(lease) for lease in await pen.fetch(9)))
    await pen.advance(-DAY)
    for _ in range(3):
        await rescued(pen, 1)
        await pen.advance(60_001)
        (lease,) = await pen.fetch(9)
        await pen.settle(Complete(lease))


@pytest.mark.parametrize("rule", [{"every_ms": 60_000}, {"cron": "* * * * *"}])
async def test_a_schedule_skips_what_it_missed_when_the_clock_is_set_forward(
    pen: Pen, rule: dict[str, int | str]
) -> None:
    await pen.engine.schedules.upsert(pen.queue, Schedule.of("s", **rule))  # type: ignore[arg-type]
    await pen.advance(60_000)
    await pen.fetch(9, lease_ms=2 * DAY)
    await pen.advance(DAY)
    assert len(await pen.fetch(9, lease_ms=2 * DAY)) == 1
    assert await pen.fetch(9) == []


async def test_an_interval_that_is_set_anew_starts_over_when_the_clock_was_set_back(
    pen: Pen,
) -> None:
    rule = Schedule.of("s", every_ms=60_000)
    await pen.engine.schedules.upsert(pen.queue, rule)
    await pen.fetch()
    await pen.advance(-DAY)
    assert await pen.engine.schedules.upsert(pen.queue, rule) <= await pen.store.now() + 60_000


# Deduplication keys


@pytest.mark.parametrize(
    "rule", [Deduplication.throttle(60, "key"), Deduplication("key", 60_000, extend=True)]
)
@pytest.mark.parametrize("is_kept", [True, False])
async def test_a_key_is_held_no_longer_than_its_time_when_the_clock_is_set_back(
    pen: Pen, rule: Deduplication, *, is_kept: bool
) -> None:
    await pen.add("a", deduplication=rule)
    if not is_kept:
        await pen.engine.exchange(pen.queue, [Complete(await pen.one())], None)
    await pen.advance(-DAY)
    await pen.add("b", deduplication=rule)
    await pen.advance(60_000)
    (added,) = await pen.add("c", deduplication=rule)
    assert added.status is AddStatus.CREATED


async def test_a_key_is_free_when_the_clock_is_set_forward(pen: Pen) -> None:
    rule = Deduplication.throttle(60, "key")
    await pen.add("a", deduplication=rule)
    await pen.advance(DAY)
    (added,) = await pen.add("b", deduplication=rule)
    assert added.status is AddStatus.CREATED


# Counters and producers


@pytest.mark.parametrize("jump", [-DAY, DAY])
async def test_numbers_of_another_time_are_not_those_of_the_last_minutes(
    pen: Pen, jump: int
) -> None:
    await pen.finished("a", "b")
    await pen.advance(jump)
    await pen.finished("c")
    assert (await window_of(pen.engine, pen.queue, HOUR)).completed == 1


@pytest.mark.parametrize("jump", [-DAY, HOUR])
async def test_a_batch_that_was_added_is_known_after_the_clock_has_jumped(
    pen: Pen, jump: int
) -> None:
    await pen.add("a", batch=Batch("producer", 1))
    await pen.advance(jump)
    await pen.engine.jobs.remove(pen.queue, ["a"])
    (added,) = await pen.add("a", batch=Batch("producer", 1))
    assert added.status is AddStatus.DUPLICATE
    assert await pen.state("a") is None


async def test_a_finished_job_stays_a_finished_job_when_the_clock_is_set_back(pen: Pen) -> None:
    await pen.finished("a")
    await pen.advance(-DAY)
    found = await pen.job("a")
    assert found.state is JobState.COMPLETED
    assert await pen.engine.queues.clean(pen.queue, JobState.COMPLETED, 0) == []
