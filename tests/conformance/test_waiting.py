"""Waiting for work and for events.

Nothing here measures: a wait that is woken ends within PROMPT seconds, which is sooner
than an engine that was told nothing looks again by itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from tests.conformance.support import (
    LEASE_MS,
    OTHER_QUEUE,
    PROMPT,
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
from toril.model.limits import Limits, RateLimit
from toril.model.settlement import Complete, Release

LONG_MS = 600_000


async def an_idle_worker(pen: Pen) -> asyncio.Task[None]:
    """Return a worker's wait that lasts: it found nothing, and news of before have arrived."""
    for _ in range(20):
        answer = await pen.exchange(fetch=1)
        assert list(answer.leases) == []
        waiting = asyncio.create_task(pen.engine.wait(pen.queue, None, answer.token))
        await pen.counts()
        if not waiting.done():
            return waiting
    raise AssertionError("a worker that finds nothing is woken again and again")


async def ends(waiting: Awaitable[None]) -> None:
    async with asyncio.timeout(PROMPT):
        await waiting


async def stop(waiting: asyncio.Task[None]) -> None:
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)


async def add(pen: Pen, lease: Lease) -> None:
    await pen.add("new")


async def add_delayed(pen: Pen, lease: Lease) -> None:
    await pen.add("new", delay=1)


async def promote(pen: Pen, lease: Lease) -> None:
    assert await pen.engine.jobs.promote(QUEUE, ["is-delayed"]) == ["is-delayed"]


async def put_forward(pen: Pen, lease: Lease) -> None:
    await pen.engine.jobs.change(QUEUE, "is-delayed", delay_ms=1)


async def run_again(pen: Pen, lease: Lease) -> None:
    assert await pen.engine.jobs.retry(QUEUE, ["is-completed"]) == ["is-completed"]


async def release(pen: Pen, lease: Lease) -> None:
    await pen.settle(Release(lease))


async def retry_at_once(pen: Pen, lease: Lease) -> None:
    await pen.settle(retry(lease))


async def retry_later(pen: Pen, lease: Lease) -> None:
    await pen.settle(retry(lease, 1_000))


async def rescue(pen: Pen, lease: Lease) -> None:
    await pen.advance(LEASE_MS)
    assert ids(await pen.engine.rescue(QUEUE, 5)) == ["is-active"]


News = Callable[[Pen, Lease], Awaitable[None]]

NEWS: dict[str, News] = {
    f.__name__: f
    for f in (
        add,
        add_delayed,
        promote,
        put_forward,
        run_again,
        release,
        retry_at_once,
        retry_later,
        rescue,
    )
}

each_news = pytest.mark.parametrize("news", NEWS.values(), ids=NEWS)


async def furnish(pen: Pen) -> Lease:
    """Leave a job in each state from which there may be work; return the active one's lease."""
    await pen.finished("is-completed")
    (lease,) = await pen.active("is-active")
    await pen.add("is-delayed", delay=LONG_MS / 1000)
    return lease


@each_news
async def test_a_wait_ends_when_there_may_be_work(pen: Pen, news: News) -> None:
    lease = await furnish(pen)
    waiting = await an_idle_worker(pen)
    await news(pen, lease)
    await ends(waiting)


@on_shared_stores
@each_news
async def test_a_wait_ends_when_another_process_makes_work(
    pen: Pen, store: Store, news: News
) -> None:
    lease = await furnish(pen)
    waiting = await an_idle_worker(Pen(store.engine(), QUEUE, store))
    await news(pen, lease)
    await ends(waiting)


@each_news
async def test_work_that_came_between_the_exchange_and_the_wait_ends_it_at_once(
    pen: Pen, news: News
) -> None:
    lease = await furnish(pen)
    answer = await pen.exchange(fetch=1)
    assert list(answer.leases) == []
    await news(pen, lease)
    await ends(pen.engine.wait(QUEUE, None, answer.token))


@on_shared_stores
async def test_work_of_another_process_between_the_exchange_and_the_wait_ends_it(
    pen: Pen, store: Store
) -> None:
    elsewhere = Pen(store.engine(), QUEUE, store)
    answer = await pen.exchange(fetch=1)
    await elsewhere.add("a")
    await ends(pen.engine.wait(QUEUE, None, answer.token))
    assert ids(await pen.fetch()) == ["a"]


async def test_a_wait_ends_at_its_time(pen: Pen, store: Store) -> None:
    answer = await pen.exchange(fetch=1)
    await ends(pen.engine.wait(QUEUE, await store.now() + 20, answer.token))


async def test_a_wait_for_what_is_past_ends_at_once(pen: Pen, store: Store) -> None:
    answer = await pen.exchange(fetch=1)
    await ends(pen.engine.wait(QUEUE, await store.now() - LONG_MS, answer.token))


@pytest.mark.parametrize("bounded", [False, True])
async def test_a_wait_goes_on_while_there_is_nothing(
    pen: Pen, other_pen: Pen, store: Store, *, bounded: bool
) -> None:
    answer = await pen.exchange(fetch=1)
    until = await store.now() + LONG_MS if bounded else None
    waiting = asyncio.create_task(pen.engine.wait(QUEUE, until, answer.token))
    for n in range(20):
        await other_pen.add(f"j{n}")
        await pen.counts()
        assert not waiting.done()
    await stop(waiting)


async def test_work_in_another_queue_ends_no_wait(pen: Pen, other_pen: Pen) -> None:
    waiting = await an_idle_worker(pen)
    others = await an_idle_worker(other_pen)
    await other_pen.add("a")
    await ends(others)
    assert not waiting.done()
    await stop(waiting)


async def test_every_waiting_worker_is_woken(pen: Pen) -> None:
    waiting = [await an_idle_worker(pen) for _ in range(5)]
    await pen.add("a", "b", "c", "d", "e")
    await ends(asyncio.gather(*waiting))


async def test_a_resumed_queue_wakes_its_workers(pen: Pen) -> None:
    await pen.engine.queues.pause(QUEUE)
    await pen.add("a")
    waiting = await an_idle_worker(pen)
    await pen.engine.queues.resume(QUEUE)
    await ends(waiting)


async def test_a_wider_limit_wakes_the_workers(pen: Pen) -> None:
    await pen.engine.queues.register(QUEUE, Limits(concurrency=1))
    await pen.active("a")
    await pen.add("b")
    waiting = await an_idle_worker(pen)
    await pen.engine.queues.register(QUEUE, Limits(concurrency=2))
    await ends(waiting)


async def test_a_wider_rate_limit_wakes_the_workers(pen: Pen) -> None:
    await pen.engine.queues.register(QUEUE, Limits(rate=RateLimit(1, per=60)))
    await pen.active("a")
    await pen.add("b")
    waiting = await an_idle_worker(pen)
    await pen.engine.queues.register(QUEUE, Limits(rate=RateLimit(2, per=60)))
    await ends(waiting)


@pytest.mark.parametrize("settle", [Complete, fail])
async def test_a_slot_that_becomes_free_wakes_a_worker_that_waited_for_it(
    pen: Pen, settle: Callable[..., Complete]
) -> None:
    await pen.engine.queues.register(QUEUE, Limits(concurrency=1))
    await pen.add("a", "b")
    lease = await pen.one(worker="one")
    waiting = await an_idle_worker(pen)
    await pen.settle(settle(lease))
    await ends(waiting)


async def test_jobs_given_back_by_one_who_takes_fewer_wake_the_others(pen: Pen) -> None:
    leases = await pen.active("a", "b", "c")
    waiting = await an_idle_worker(pen)
    answer = await pen.exchange([Release(lease) for lease in leases], 1)
    assert ids(answer.leases) == ["a"]
    await ends(waiting)


async def test_a_closed_engine_lets_its_waiters_go(pen: Pen) -> None:
    waiting = await an_idle_worker(pen)
    await pen.engine.close()
    await ends(waiting)


async def test_a_wait_can_be_given_up(pen: Pen) -> None:
    waiting = await an_idle_worker(pen)
    await stop(waiting)
    assert waiting.cancelled()
    await pen.add("a")
    assert await pen.order() == ["a"]


# Events


async def test_a_wait_for_events_ends_when_something_happens(pen: Pen) -> None:
    tail = await pen.tail()
    waiting = asyncio.create_task(
        pen.engine.events.read({QUEUE: tail.cursor}, timeout=PROMPT * 100)
    )
    await pen.counts()
    await pen.add("a")
    await ends(waiting)
    assert await tail.kinds() == [("added", "a")]


@on_shared_stores
async def test_a_wait_for_events_ends_when_another_process_does_something(
    pen: Pen, store: Store
) -> None:
    elsewhere = Pen(store.engine(), QUEUE, store)
    tail = await elsewhere.tail()
    await elsewhere.engine.events.read({QUEUE: tail.cursor}, timeout=0)
    waiting = asyncio.create_task(
        elsewhere.engine.events.read({QUEUE: tail.cursor}, timeout=PROMPT * 100)
    )
    (lease,) = await pen.active("a")
    await ends(waiting)
    await pen.settle(Complete(lease))
    assert [kind for kind, _ in await tail.kinds()] == ["added", "active", "completed"]


async def test_what_has_happened_already_ends_a_wait_for_events_at_once(pen: Pen) -> None:
    tail = await pen.tail()
    await pen.add("a")
    await ends(pen.engine.events.read({QUEUE: tail.cursor}, timeout=PROMPT * 100))


async def test_a_wait_for_events_ends_after_its_time(pen: Pen) -> None:
    tail = await pen.tail()
    await ends(pen.engine.events.read({QUEUE: tail.cursor}, timeout=0.02))
    await ends(pen.engine.events.read({QUEUE: tail.cursor}, timeout=0))


async def test_events_of_another_queue_end_no_wait(pen: Pen, other_pen: Pen) -> None:
    tail = await pen.tail()
    waiting = asyncio.create_task(
        pen.engine.events.read({QUEUE: tail.cursor}, timeout=PROMPT * 100)
    )
    for n in range(10):
        await other_pen.add(job(f"j{n}"))
        await pen.counts()
        assert not waiting.done()
    await stop(waiting)


async def test_a_queue_that_is_not_there_can_be_waited_for(pen: Pen, store: Store) -> None:
    late = Pen(pen.engine, OTHER_QUEUE, store)
    waiting = await an_idle_worker(late)
    await late.add("a")
    await ends(waiting)
