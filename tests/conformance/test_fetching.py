"""Taking jobs: which, in which order, and what a worker is told beside them."""

from __future__ import annotations

import asyncio

import pytest

from tests.conformance.support import (
    LEASE_MS,
    QUEUE,
    Pen,
    Store,
    ids,
    job,
    on_shared_stores,
    retry,
)
from toril.model.settlement import Complete, Release
from toril.model.state import JobState

# The order


async def test_jobs_run_in_the_order_in_which_they_were_added(pen: Pen) -> None:
    await pen.add("c", "a", "b")
    assert await pen.order() == ["c", "a", "b"]


async def test_zero_goes_before_one_goes_before_five(pen: Pen) -> None:
    await pen.add(
        job("five", priority=5),
        job("one", priority=1),
        job("zero"),
        job("two", priority=2),
        job("none-either"),
        job("one-more", priority=1),
    )
    assert await pen.order() == ["zero", "none-either", "one", "one-more", "two", "five"]


async def test_the_order_holds_over_several_calls(pen: Pen) -> None:
    await pen.add("b", "c", priority=2)
    await pen.add("a")
    assert ids([await pen.one() for _ in range(3)]) == ["a", "b", "c"]


async def test_a_job_that_comes_later_goes_before_those_of_a_lower_priority(pen: Pen) -> None:
    await pen.add("a", "b", priority=4)
    assert ids(await pen.fetch()) == ["a"]
    await pen.add("c", priority=3)
    assert ids(await pen.fetch()) == ["c"]
    assert ids(await pen.fetch()) == ["b"]


async def test_no_more_jobs_come_than_were_asked_for(pen: Pen) -> None:
    await pen.add("a", "b", "c")
    assert ids(await pen.fetch(2)) == ["a", "b"]
    assert await pen.counts() == {"active": 2, "waiting": 1}


async def test_who_asks_for_nothing_gets_nothing(pen: Pen) -> None:
    await pen.add("a")
    assert (await pen.exchange(fetch=None)).leases == ()
    assert list((await pen.exchange(fetch=0)).leases) == []
    assert await pen.counts() == {"waiting": 1}


async def test_an_active_job_is_not_given_to_a_second_worker(pen: Pen) -> None:
    await pen.add("a")
    assert ids(await pen.fetch(5, worker="one")) == ["a"]
    assert await pen.fetch(5, worker="two") == []


async def test_many_workers_at_once_get_each_job_once(pen: Pen) -> None:
    wanted = [f"j{n:03}" for n in range(200)]
    await pen.add(*wanted)
    taken = await asyncio.gather(*(pen.fetch(7, worker=f"w{n}") for n in range(40)))
    assert sorted(i for leases in taken for i in ids(leases)) == wanted


@on_shared_stores
async def test_engines_on_one_store_get_each_job_once(pen: Pen, store: Store) -> None:
    wanted = [f"j{n:03}" for n in range(120)]
    await pen.add(*wanted)
    pens = [Pen(store.engine(), QUEUE, store) for _ in range(3)]
    taken = await asyncio.gather(*(one.fetch(10) for one in pens * 5))
    assert sorted(i for leases in taken for i in ids(leases)) == wanted


async def test_a_queues_jobs_are_not_given_to_another_queues_workers(
    pen: Pen, other_pen: Pen
) -> None:
    await pen.add("a")
    assert await other_pen.fetch() == []


# The lease


async def test_a_lease_tells_all_that_a_handler_needs(pen: Pen, store: Store) -> None:
    new = job("a", '{"to":"x"}', name="mail", priority=2, attempts=3, tags=["t"])
    await pen.add(new)
    created = (await pen.job("a")).created_ms
    await pen.advance(500)
    lease = await pen.one()
    assert lease.queue == QUEUE
    assert (lease.id, lease.name, lease.data) == ("a", "mail", '{"to":"x"}')
    assert (lease.options, lease.options_json) == (new.options, new.options_json)
    assert lease.created_ms == created
    assert created + 500 <= lease.started_ms <= await store.now()
    assert (lease.attempts_made, lease.attempts_started, lease.stalls) == (0, 1, 0)
    assert (lease.priority, lease.deferred_failure) == (2, None)


async def test_an_active_job_says_who_holds_it_and_since_when(pen: Pen) -> None:
    (lease,) = await pen.active("a")
    found = await pen.job("a")
    assert found.state is JobState.ACTIVE
    assert found.worker == "worker"
    assert found.started_ms == lease.started_ms
    assert (found.attempts_made, found.attempts_started) == (0, 1)


async def test_a_token_begins_with_its_workers_id(pen: Pen) -> None:
    await pen.add("a")
    lease = await pen.one(worker="host-1")
    assert lease.token.startswith("host-1")
    assert (await pen.job("a")).worker == "host-1"


async def test_each_lease_of_a_job_has_a_token_of_its_own(pen: Pen) -> None:
    await pen.add("a")
    tokens = []
    for _ in range(5):
        lease = await pen.one()
        tokens.append(lease.token)
        await pen.settle(Release(lease))
    assert len(set(tokens)) == 5


@on_shared_stores
async def test_workers_of_one_name_on_two_engines_never_share_a_token(
    pen: Pen, store: Store
) -> None:
    elsewhere = Pen(store.engine(), QUEUE, store)
    (old,) = await pen.active("a")
    await pen.advance(LEASE_MS)
    await elsewhere.engine.rescue(QUEUE, 1)
    new = await elsewhere.one()
    assert old.token != new.token
    assert await pen.settle(Complete(old)) != [None]
    assert await elsewhere.settle(Complete(new)) == [None]


# Settling and taking in one call


async def test_one_call_settles_and_takes(pen: Pen) -> None:
    (first,) = await pen.active("a")
    await pen.add("b", "c")
    answer = await pen.exchange([Complete(first)], 1)
    assert (list(answer.results), ids(answer.leases)) == ([None], ["b"])
    assert await pen.counts() == {"completed": 1, "active": 1, "waiting": 1}


async def test_a_job_that_is_given_back_may_come_back_in_the_same_call(pen: Pen) -> None:
    (lease,) = await pen.active("a")
    answer = await pen.exchange([Release(lease)], 1)
    assert ids(answer.leases) == ["a"]
    assert answer.leases[0].token != lease.token
    assert list(answer.results) == [None]
    answer = await pen.exchange([retry(answer.leases[0])], 1)
    assert ids(answer.leases) == ["a"]
    assert answer.leases[0].attempts_made == 1


# Delayed jobs


async def test_a_delayed_job_is_not_taken_before_it_is_due(pen: Pen) -> None:
    await pen.add("a", delay=2)
    assert await pen.fetch() == []
    await pen.advance(1_000)
    assert await pen.fetch() == []
    await pen.advance(1_000)
    assert ids(await pen.fetch()) == ["a"]


async def test_a_due_job_has_its_due_time_no_more(pen: Pen) -> None:
    await pen.add("a", delay=1)
    await pen.advance(1_000)
    await pen.exchange(fetch=0)
    found = await pen.job("a")
    assert (found.state, found.due_ms) == (JobState.WAITING, None)


async def test_due_jobs_become_ready_in_the_order_in_which_they_are_due(pen: Pen) -> None:
    await pen.add(job("c", delay=1.5), job("a", delay=0.5), job("d", delay=2), job("b", delay=1))
    await pen.advance(2_000)
    assert await pen.order() == ["a", "b", "c", "d"]


async def test_jobs_due_at_once_become_ready_in_the_order_in_which_they_were_added(
    pen: Pen,
) -> None:
    await pen.add("b", "a", "c", delay=1)
    await pen.advance(1_000)
    assert await pen.order() == ["b", "a", "c"]


async def test_a_due_job_goes_behind_those_that_wait_and_before_those_that_come(pen: Pen) -> None:
    await pen.add("due", delay=1)
    await pen.add("early")
    await pen.advance(1_000)
    assert await pen.exchange(fetch=0)
    await pen.add("late")
    assert await pen.order() == ["early", "due", "late"]


async def test_a_due_job_keeps_its_priority(pen: Pen) -> None:
    await pen.add("low", priority=5)
    await pen.add("high", priority=1, delay=1)
    await pen.add("none", delay=1)
    await pen.advance(1_000)
    await pen.exchange(fetch=0)
    assert await pen.counts() == {"prioritized": 2, "waiting": 1}
    assert await pen.order() == ["none", "high", "low"]


async def test_due_jobs_are_made_ready_even_in_a_paused_queue(pen: Pen) -> None:
    await pen.add("a", delay=1)
    await pen.engine.queues.pause(pen.queue)
    await pen.advance(1_000)
    assert await pen.fetch() == []
    assert await pen.counts() == {"waiting": 1}


async def test_who_gets_less_than_asked_is_told_when_the_next_job_is_due(pen: Pen) -> None:
    await pen.add("later", delay=2)
    await pen.add("sooner", delay=1)
    await pen.add("now")
    due = (await pen.job("sooner")).due_ms
    answer = await pen.exchange(fetch=2)
    assert (ids(answer.leases), answer.next_due) == (["now"], due)


async def test_who_gets_all_that_was_asked_needs_no_due_time(pen: Pen) -> None:
    await pen.add("later", delay=2)
    await pen.add("now")
    assert (await pen.exchange(fetch=1)).next_due is None


async def test_without_delayed_jobs_nothing_is_due(pen: Pen) -> None:
    assert (await pen.exchange(fetch=1)).next_due is None


async def test_a_paused_queue_still_says_when_the_next_job_is_due(pen: Pen) -> None:
    await pen.add("a", delay=2)
    await pen.engine.queues.pause(pen.queue)
    assert (await pen.exchange(fetch=1)).next_due == (await pen.job("a")).due_ms


async def test_many_due_jobs_are_taken_in_due_order(pen: Pen) -> None:
    await pen.add(*(job(f"j{n:04}", delay=0.5 + n / 1_000) for n in reversed(range(1_500))))
    await pen.advance(2_000)
    found: list[str] = []
    while leases := await pen.fetch(400):
        found += ids(leases)
    assert found == [f"j{n:04}" for n in range(1_500)]


# Pausing


async def test_from_a_paused_queue_nothing_is_taken(pen: Pen) -> None:
    await pen.add("a")
    await pen.engine.queues.pause(pen.queue)
    assert await pen.fetch() == []
    await pen.add("b")
    assert await pen.fetch() == []
    await pen.engine.queues.resume(pen.queue)
    assert await pen.order() == ["a", "b"]


async def test_running_jobs_of_a_paused_queue_are_settled(pen: Pen) -> None:
    first, second = await pen.active("a", "b")
    await pen.engine.queues.pause(pen.queue)
    answer = await pen.exchange([Complete(first), retry(second)], 2)
    assert list(answer.results) == [None, None]
    assert list(answer.leases) == []
    assert await pen.counts() == {"completed": 1, "waiting": 1}


async def test_pausing_twice_is_pausing_once(pen: Pen) -> None:
    await pen.add("a")
    await pen.engine.queues.pause(pen.queue)
    await pen.engine.queues.pause(pen.queue)
    await pen.engine.queues.resume(pen.queue)
    await pen.engine.queues.resume(pen.queue)
    assert await pen.order() == ["a"]


async def test_a_pause_holds_one_queue_only(pen: Pen, other_pen: Pen) -> None:
    await pen.engine.queues.pause(pen.queue)
    await other_pen.add("a")
    assert await other_pen.order() == ["a"]


@on_shared_stores
async def test_a_pause_holds_for_every_process(pen: Pen, store: Store) -> None:
    await pen.add("a")
    elsewhere = Pen(store.engine(), QUEUE, store)
    await elsewhere.engine.queues.pause(QUEUE)
    assert await pen.fetch() == []
    await elsewhere.engine.queues.resume(QUEUE)
    assert await pen.order() == ["a"]


@pytest.mark.parametrize("lifo", [False, True])
async def test_a_job_that_was_delayed_runs_once(pen: Pen, *, lifo: bool) -> None:
    await pen.add("a", delay=1, lifo=lifo)
    await pen.advance(1_000)
    assert await pen.order() == ["a"]
    assert await pen.order() == []
