"""A queue's limits: how many jobs start in a window, and how many run at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

import pytest

from tests.conformance.support import (
    LEASE_MS,
    QUEUE,
    Pen,
    Store,
    fail,
    ids,
    job,
    on_shared_stores,
    retry,
)
from toril.model.job import Lease
from toril.model.limits import KeyLimits, Limits, RateLimit
from toril.model.settlement import Complete, Release, Settlement

TWO_A_SECOND = RateLimit(2, per=1)


# Rate


async def test_no_more_jobs_start_in_a_window_than_the_limit_lets_through(pen: Pen) -> None:
    await pen.engine.queues.register(QUEUE, Limits(rate=TWO_A_SECOND))
    await pen.add("a", "b", "c", "d", "e")
    assert ids(await pen.fetch(9)) == ["a", "b"]
    assert await pen.fetch(9) == []
    await pen.advance(1_000)
    assert ids(await pen.fetch(9)) == ["c", "d"]
    await pen.advance(1_000)
    assert ids(await pen.fetch(9)) == ["e"]


async def test_several_calls_share_a_window(pen: Pen) -> None:
    await pen.engine.queues.register(QUEUE, Limits(rate=TWO_A_SECOND))
    await pen.add("a", "b", "c")
    assert ids(await pen.fetch(1)) == ["a"]
    await pen.advance(500)
    assert ids(await pen.fetch(1)) == ["b"]
    assert await pen.fetch(1) == []
    await pen.advance(500)
    assert ids(await pen.fetch(1)) == ["c"]


async def test_a_window_begins_with_the_first_job_that_starts(pen: Pen) -> None:
    await pen.engine.queues.register(QUEUE, Limits(rate=TWO_A_SECOND))
    assert await pen.fetch(1) == []
    await pen.advance(800)
    await pen.add("a", "b", "c")
    assert ids(await pen.fetch(9)) == ["a", "b"]
    await pen.advance(800)
    assert await pen.fetch(9) == []
    await pen.advance(200)
    assert ids(await pen.fetch(9)) == ["c"]


async def test_who_is_limited_is_told_until_when(pen: Pen, store: Store) -> None:
    await pen.engine.queues.register(QUEUE, Limits(rate=TWO_A_SECOND))
    await pen.add("a", "b", "c")
    before = await store.now()
    first = await pen.exchange(fetch=9)
    after = await store.now()
    assert first.limited_until is not None
    assert before + 1_000 <= first.limited_until <= after + 1_000
    await pen.advance(300)
    again = await pen.exchange(fetch=9)
    assert list(again.leases) == []
    assert again.limited_until == first.limited_until


async def test_where_no_limit_holds_nobody_is_told_of_one(pen: Pen) -> None:
    await pen.add("a")
    assert (await pen.exchange(fetch=9)).limited_until is None
    await pen.engine.queues.register(QUEUE, Limits(rate=TWO_A_SECOND))
    assert (await pen.exchange(fetch=9)).limited_until is None


async def test_a_limit_that_is_not_used_up_holds_nobody_back(pen: Pen) -> None:
    await pen.engine.queues.register(QUEUE, Limits(rate=TWO_A_SECOND))
    await pen.add("a")
    first = await pen.exchange(fetch=9)
    assert (ids(first.leases), first.limited_until) == (["a"], None)
    await pen.add("b")
    second = await pen.exchange(fetch=9)
    assert ids(second.leases) == ["b"]


async def test_a_rate_limit_counts_jobs_whatever_became_of_them(pen: Pen) -> None:
    await pen.engine.queues.register(QUEUE, Limits(rate=TWO_A_SECOND))
    await pen.add("a", "b", "c")
    a, b = await pen.fetch(9)
    answer = await pen.exchange([Complete(a), Release(b)], 9)
    assert list(answer.results) == [None, None]
    assert list(answer.leases) == []


async def test_a_rate_limit_holds_over_all_workers(pen: Pen) -> None:
    await pen.engine.queues.register(QUEUE, Limits(rate=RateLimit(5, per=2)))
    await pen.add(*(f"j{n}" for n in range(20)))
    taken = await asyncio.gather(*(pen.fetch(2, worker=f"w{n}") for n in range(10)))
    assert sum(len(leases) for leases in taken) == 5


@on_shared_stores
async def test_a_rate_limit_holds_over_all_processes(pen: Pen, store: Store) -> None:
    elsewhere = Pen(store.engine(), QUEUE, store)
    await elsewhere.engine.queues.register(QUEUE, Limits(rate=TWO_A_SECOND))
    await pen.add("a", "b", "c")
    assert ids(await pen.fetch(1)) == ["a"]
    assert ids(await elsewhere.fetch(2)) == ["b"]
    assert await pen.fetch(1) == []


async def test_a_rate_limit_holds_one_queue_only(pen: Pen, other_pen: Pen) -> None:
    await pen.engine.queues.register(QUEUE, Limits(rate=RateLimit(1, per=2)))
    await pen.add("a", "b")
    await other_pen.add("a", "b")
    assert len(await pen.fetch(9)) == 1
    assert len(await other_pen.fetch(9)) == 2


async def test_a_new_rate_limit_holds_from_the_next_call(pen: Pen) -> None:
    await pen.engine.queues.register(QUEUE, Limits(rate=RateLimit(1, per=2)))
    await pen.add("a", "b", "c", "d")
    assert len(await pen.fetch(9)) == 1
    await pen.engine.queues.register(QUEUE, Limits(rate=RateLimit(3, per=2)))
    assert len(await pen.fetch(9)) == 2
    await pen.engine.queues.register(QUEUE, Limits(rate=RateLimit(1, per=2)))
    assert len(await pen.fetch(9)) == 0


async def with_a_deferred_failure(pen: Pen, *names: str) -> None:
    """Add jobs that are ready and only to be failed: cancelled while they ran, and given back."""
    leases = await pen.active(*names)
    assert await pen.engine.jobs.cancel(QUEUE, names) == list(names)
    assert await pen.settle(*map(Release, leases)) == [None] * len(names)


async def poisoned(pen: Pen, *names: str) -> None:
    """Add jobs that are ready and only to be failed: they stalled too often."""
    await pen.active(*names)
    await pen.advance(LEASE_MS)
    assert ids(await pen.engine.rescue(QUEUE, 0)) == list(names)


each_deferred = pytest.mark.parametrize("defer", [with_a_deferred_failure, poisoned])
each_rate = pytest.mark.parametrize(
    "rate", [RateLimit(2, per=60), RateLimit(2, per=60, burst=2)], ids=["window", "bucket"]
)


@each_rate
@each_deferred
async def test_a_job_that_is_only_failed_does_not_count_against_the_rate(
    pen: Pen, defer: Callable[..., Awaitable[None]], rate: RateLimit
) -> None:
    await defer(pen, "x", "y", "z")
    await pen.engine.queues.register(QUEUE, Limits(rate=rate))
    await pen.add("a", "b", "c")
    answer = await pen.exchange(fetch=9)
    assert ids(answer.leases) == ["x", "y", "z", "a", "b"]
    assert [lease.deferred_failure is None for lease in answer.leases] == [False] * 3 + [True] * 2
    assert answer.limited_until is not None
    assert await pen.fetch(9) == []


@each_rate
@each_deferred
async def test_jobs_that_are_only_failed_leave_the_rate_to_later_exchanges(
    pen: Pen, defer: Callable[..., Awaitable[None]], rate: RateLimit
) -> None:
    await defer(pen, "x", "y", "z")
    await pen.engine.queues.register(QUEUE, Limits(rate=rate))
    await pen.add("a", "b", "c")
    assert ids(await pen.fetch(3)) == ["x", "y", "z"]
    assert ids(await pen.fetch(3)) == ["a", "b"]


# Concurrency


async def test_no_more_jobs_run_at_once_than_the_limit_lets_through(pen: Pen) -> None:
    await pen.engine.queues.register(QUEUE, Limits(concurrency=2))
    await pen.add("a", "b", "c", "d")
    a, _ = await pen.fetch(9)
    assert await pen.fetch(9) == []
    answer = await pen.exchange([Complete(a)], 9)
    assert ids(answer.leases) == ["c"]


@pytest.mark.parametrize(
    "settle", [Complete, fail, partial(retry, delay_ms=1_000)], ids=["complete", "fail", "retry"]
)
async def test_each_end_of_an_attempt_makes_room(
    pen: Pen, settle: Callable[[Lease], Settlement]
) -> None:
    await pen.engine.queues.register(QUEUE, Limits(concurrency=1))
    await pen.add("a", "b")
    lease = await pen.one()
    assert await pen.fetch() == []
    await pen.settle(settle(lease))
    assert ids(await pen.fetch()) == ["b"]


async def test_a_concurrency_limit_holds_over_all_workers(pen: Pen) -> None:
    await pen.engine.queues.register(QUEUE, Limits(concurrency=5))
    await pen.add(*(f"j{n}" for n in range(20)))
    taken = await asyncio.gather(*(pen.fetch(2, worker=f"w{n}") for n in range(10)))
    assert sum(len(leases) for leases in taken) == 5


async def test_a_dead_workers_slots_are_free_after_the_rescue(pen: Pen) -> None:
    await pen.engine.queues.register(QUEUE, Limits(concurrency=1))
    await pen.active("a")
    await pen.add("b")
    await pen.advance(LEASE_MS)
    await pen.engine.rescue(QUEUE, 5)
    assert len(await pen.fetch(9)) == 1


async def test_a_lowered_concurrency_lets_the_running_end(pen: Pen) -> None:
    await pen.engine.queues.register(QUEUE, Limits(concurrency=3))
    await pen.add("a", "b", "c", "d")
    a, b, _ = await pen.fetch(9)
    await pen.engine.queues.register(QUEUE, Limits(concurrency=1))
    assert await pen.fetch(9) == []
    answer = await pen.exchange([Complete(a), Complete(b)], 9)
    assert list(answer.results) == [None, None]
    assert list(answer.leases) == []


async def test_the_tighter_of_two_limits_holds(pen: Pen) -> None:
    await pen.engine.queues.register(QUEUE, Limits(concurrency=1, rate=TWO_A_SECOND))
    await pen.add("a", "b", "c", "d")
    a = await pen.one()
    assert await pen.fetch(9) == []
    (b,) = (await pen.exchange([Complete(a)], 9)).leases
    answer = await pen.exchange([Complete(b)], 9)
    assert list(answer.leases) == []
    assert answer.limited_until is not None


# Setting them


async def test_a_limit_that_is_not_given_stays_as_it_is(pen: Pen) -> None:
    await pen.engine.queues.register(QUEUE, Limits(concurrency=3))
    await pen.engine.queues.register(QUEUE, Limits(rate=TWO_A_SECOND))
    await pen.engine.queues.register(QUEUE)
    (info,) = await pen.engine.queues.all()
    assert (info.concurrency, info.rate_limit) == (3, TWO_A_SECOND)
    await pen.engine.queues.register(QUEUE, Limits(concurrency=4))
    (info,) = await pen.engine.queues.all()
    assert (info.concurrency, info.rate_limit) == (4, TWO_A_SECOND)


async def test_a_queue_has_no_limits_unless_they_are_set(pen: Pen) -> None:
    (info,) = await pen.engine.queues.all()
    assert (info.concurrency, info.rate_limit) == (None, None)
    await pen.add(*(f"j{n}" for n in range(500)))
    assert len(await pen.fetch(500)) == 500


# Queues that are removed while they are in use

ONE = Limits(concurrency=1, rate=RateLimit(5, per=60), by_key=KeyLimits("k", None, 3))


async def removed(pen: Pen) -> None:
    await pen.engine.queues.register(QUEUE, ONE, lasting=True)
    await pen.active("a")
    await pen.engine.queues.obliterate(QUEUE, force=True)


async def test_a_queue_that_was_removed_has_its_lasting_limits_again(pen: Pen) -> None:
    await removed(pen)
    await pen.add(*(job(f"j{n}") for n in range(4)))
    assert len(await pen.fetch(4)) == 1
    info = await pen.engine.queues.info(QUEUE)
    assert info is not None
    assert (info.concurrency, info.rate_limit, info.by_key) == (1, ONE.rate, ONE.by_key)


async def test_limits_that_were_cleared_do_not_come_back(pen: Pen) -> None:
    await pen.engine.queues.register(QUEUE, ONE, lasting=True)
    await pen.engine.queues.clear_limits(QUEUE)
    await pen.engine.queues.obliterate(QUEUE)
    await pen.add("a", "b")
    assert len(await pen.fetch(4)) == 2


async def test_lasting_limits_registered_one_after_the_other_all_come_back(
    pen: Pen,
) -> None:
    await pen.engine.queues.register(QUEUE, Limits(concurrency=2), lasting=True)
    await pen.engine.queues.register(QUEUE, Limits(rate=RateLimit(1, per=60)), lasting=True)
    await pen.engine.queues.obliterate(QUEUE)
    await pen.add("a", "b")
    assert len(await pen.fetch(4)) == 1
    info = await pen.engine.queues.info(QUEUE)
    assert info is not None
    assert info.concurrency == 2


@on_shared_stores
async def test_the_limits_come_back_though_a_program_without_them_removed_the_queue(
    pen: Pen, store: Store
) -> None:
    await pen.engine.queues.register(QUEUE, ONE, lasting=True)
    await pen.fetch(1)
    elsewhere = Pen(store.engine(), QUEUE, store)
    await elsewhere.add("before")
    await elsewhere.engine.queues.obliterate(QUEUE)
    await elsewhere.add(*(job(f"j{n}") for n in range(4)))
    assert len(await pen.fetch(4)) == 1
    assert await elsewhere.fetch(4) == []


@on_shared_stores
async def test_what_others_changed_in_a_queue_that_was_not_removed_stays(
    pen: Pen, store: Store
) -> None:
    await pen.engine.queues.register(QUEUE, Limits(concurrency=1), lasting=True)
    await store.engine().queues.register(QUEUE, Limits(concurrency=3))
    await pen.add(*(job(f"j{n}") for n in range(5)))
    assert len(await pen.fetch(5)) == 3


async def test_a_store_that_is_opened_again_has_its_limits(pen: Pen) -> None:
    await pen.engine.queues.register(QUEUE, Limits(concurrency=1), lasting=True)
    await pen.engine.close()
    await pen.engine.open()
    await pen.add("a", "b")
    assert len(await pen.fetch(4)) == 1
