"""Keeping leases, what is told of a cancellation, and taking jobs from workers that died."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable

import msgspec
import pytest

from tests.conformance.support import (
    LEASE_MS,
    QUEUE,
    Pen,
    Store,
    fail,
    ids,
    on_shared_stores,
    retry,
)
from toril.engine.contract import running
from toril.engine.contract.hot_path import LeaseKeeper, Refusal, Stalled
from toril.model.job import Lease, QueueRef
from toril.model.outcome import CANCEL_REASON, STALL_REASON
from toril.model.settlement import Complete, Release, Settlement
from toril.model.state import JobState

HALF = LEASE_MS // 2

Again = Callable[..., Settlement]


@pytest.fixture
async def keeper(pen: Pen) -> AsyncIterator[LeaseKeeper]:
    made = pen.engine.keeper()
    yield made
    made.close()


async def rescue(pen: Pen, max_stalls: int = 5) -> list[Stalled]:
    return await pen.engine.rescue(pen.queue, max_stalls)


# Keeping


async def test_a_lease_that_is_extended_holds_from_then(pen: Pen, keeper: LeaseKeeper) -> None:
    (lease,) = await pen.active("a")
    for _ in range(3):
        await pen.advance(HALF)
        assert keeper.extend([lease], LEASE_MS) == []
    assert await rescue(pen) == []
    assert await pen.settle(Complete(lease)) == [None]


async def test_an_extended_lease_runs_out_in_its_turn(pen: Pen, keeper: LeaseKeeper) -> None:
    (lease,) = await pen.active("a")
    await pen.advance(HALF)
    keeper.extend([lease], LEASE_MS)
    await pen.advance(LEASE_MS)
    assert ids(await rescue(pen)) == ["a"]


async def test_a_lease_that_has_run_out_is_renewed_while_nobody_has_taken_the_job(
    pen: Pen, keeper: LeaseKeeper
) -> None:
    (lease,) = await pen.active("a")
    await pen.advance(LEASE_MS)
    assert await pen.settle(Complete(lease)) == [Refusal.LEASE_LOST]
    assert keeper.extend([lease], LEASE_MS) == []
    await pen.advance(HALF)
    assert await rescue(pen) == []
    assert await pen.settle(Complete(lease)) == [None]


async def test_a_lease_that_has_run_out_is_lost_once_its_job_was_taken(
    pen: Pen, keeper: LeaseKeeper
) -> None:
    (lease,) = await pen.active("a")
    await pen.advance(LEASE_MS)
    assert ids(await rescue(pen)) == ["a"]
    assert keeper.extend([lease], LEASE_MS) == [lease]
    assert await pen.counts() == {"waiting": 1}


async def test_a_lease_is_lost_to_the_next_one_even_if_that_has_run_out_too(
    pen: Pen, keeper: LeaseKeeper
) -> None:
    (old,) = await pen.active("a")
    await pen.advance(LEASE_MS)
    await rescue(pen)
    new = await pen.one(worker="another")
    assert keeper.extend([old], LEASE_MS) == [old]
    await pen.advance(LEASE_MS)
    assert keeper.extend([old], LEASE_MS) == [old]
    assert keeper.extend([new], LEASE_MS) == []


async def test_what_is_on_its_way_is_renewed_though_it_has_run_out(
    pen: Pen, keeper: LeaseKeeper, store: Store
) -> None:
    await pen.add("a")
    fetching = asyncio.create_task(pen.fetch(1))
    await asyncio.sleep(0)
    assert keeper.extend([], LEASE_MS) == []  # by now the store has carried the fetch out
    store.pass_time(LEASE_MS)
    assert keeper.extend([], LEASE_MS) == []
    assert not fetching.done()
    (lease,) = await fetching
    assert await rescue(pen) == []
    assert await pen.settle(Complete(lease)) == [None]


async def test_a_keeper_names_just_the_lost(pen: Pen, keeper: LeaseKeeper) -> None:
    a, b, c, d = await pen.active("a", "b", "c", "d")
    await pen.settle(Complete(a), Release(c))
    forged = msgspec.structs.replace(d, token="worker:999999")
    lost = keeper.extend([a, b, c, d, forged], LEASE_MS)
    assert [(lease.id, lease.token) for lease in lost] == [
        ("a", a.token),
        ("c", c.token),
        ("d", forged.token),
    ]


async def test_a_keeper_keeps_leases_of_several_queues(
    pen: Pen, other_pen: Pen, keeper: LeaseKeeper
) -> None:
    (ours,) = await pen.active("a")
    (theirs,) = await other_pen.active("a")
    (gone,) = await other_pen.active("b")
    await other_pen.settle(Complete(gone))
    await pen.advance(HALF)
    assert keeper.extend([theirs, ours, gone], LEASE_MS) == [gone]
    await pen.advance(HALF)
    assert await rescue(pen) == await rescue(other_pen) == []


async def test_a_keeper_with_nothing_to_keep_loses_nothing(keeper: LeaseKeeper) -> None:
    assert keeper.extend([], LEASE_MS) == []
    assert keeper.cancelled([]) == []


async def test_a_lease_of_an_obliterated_queue_is_lost(pen: Pen, keeper: LeaseKeeper) -> None:
    (lease,) = await pen.active("a")
    await pen.engine.queues.obliterate(QUEUE, force=True)
    assert keeper.extend([lease], LEASE_MS) == [lease]


async def test_a_keeper_works_in_a_thread_while_the_event_loop_is_blocked(
    pen: Pen, keeper: LeaseKeeper
) -> None:
    (lease,) = await pen.active("a")
    answers: list[list[Lease]] = []
    thread = threading.Thread(target=lambda: answers.append(keeper.extend([lease], LEASE_MS)))
    thread.start()
    thread.join()  # on the event loop: it does nothing else meanwhile
    assert answers == [[]]


async def test_a_keeper_keeps_what_is_on_its_way_to_a_blocked_loop(
    pen: Pen, keeper: LeaseKeeper, store: Store
) -> None:
    await pen.add("a", "b")
    fetching = asyncio.create_task(pen.fetch(2))
    await asyncio.sleep(0)
    for _ in range(3):  # nothing is awaited: the event loop does not see the answer
        assert keeper.extend([], LEASE_MS) == []
        store.pass_time(HALF)
    assert not fetching.done()
    leases = await fetching
    assert await rescue(pen) == []
    assert await pen.settle(*map(Complete, leases)) == [None, None]


async def test_what_has_arrived_is_kept_by_name_only(pen: Pen, keeper: LeaseKeeper) -> None:
    a, b = await pen.active("a", "b")
    await pen.advance(HALF)
    assert keeper.extend([a], LEASE_MS) == []
    await pen.advance(HALF)
    assert ids(await rescue(pen)) == ["b"]
    assert await pen.settle(Complete(a)) == [None]
    assert await pen.settle(Complete(b)) != [None]


# Cancellation of what runs


async def test_a_worker_learns_which_of_its_jobs_to_stop(pen: Pen, keeper: LeaseKeeper) -> None:
    a, b = await pen.active("a", "b")
    assert keeper.cancelled([a, b]) == []
    assert await pen.engine.jobs.cancel(QUEUE, ["b"]) == ["b"]
    assert keeper.cancelled([a, b]) == [b]
    assert keeper.cancelled([a]) == []


async def test_only_who_holds_the_lease_learns_of_the_cancellation(
    pen: Pen, keeper: LeaseKeeper
) -> None:
    (old,) = await pen.active("a")
    await pen.settle(Release(old))
    new = await pen.one()
    await pen.engine.jobs.cancel(QUEUE, ["a"])
    assert keeper.cancelled([old]) == []
    assert keeper.cancelled([old, new]) == [new]


async def test_a_running_job_that_was_cancelled_goes_on_until_it_is_settled(pen: Pen) -> None:
    (lease,) = await pen.active("a")
    await pen.engine.jobs.cancel(QUEUE, ["a"])
    found = await pen.job("a")
    assert (found.state, found.cancel_requested) == (JobState.ACTIVE, True)
    assert await pen.settle(fail(lease)) == [None]
    found = await pen.job("a")
    assert (found.state, found.cancel_requested) == (JobState.FAILED, False)


async def test_a_cancelled_job_that_completes_all_the_same_is_completed(pen: Pen) -> None:
    (lease,) = await pen.active("a")
    await pen.engine.jobs.cancel(QUEUE, ["a"])
    assert await pen.settle(Complete(lease, "1")) == [None]
    assert (await pen.job("a")).state is JobState.COMPLETED


@pytest.mark.parametrize("delay_ms", [0, 60_000])
@pytest.mark.parametrize("settle", [Release, retry])
async def test_a_cancelled_job_that_is_given_back_is_to_be_failed_and_not_run(
    pen: Pen, settle: Again, delay_ms: int
) -> None:
    (lease,) = await pen.active("a")
    await pen.engine.jobs.cancel(QUEUE, ["a"])
    assert await pen.settle(settle(lease, delay_ms)) == [None]
    assert (await pen.one()).deferred_failure == CANCEL_REASON


# Rescue


async def test_a_job_whose_lease_ran_out_is_taken_from_its_worker(pen: Pen) -> None:
    await pen.active("a")
    await pen.advance(LEASE_MS)
    assert await rescue(pen) == [Stalled("a", poisoned=False)]
    found = await pen.job("a")
    assert (found.state, found.worker, found.stalls) == (JobState.WAITING, None, 1)
    assert found.attempts_made == 0


class Holder:
    """A worker of this process that runs job b."""

    def __init__(self, location: str) -> None:
        self.location = location

    def held_in(self, queue: QueueRef) -> list[str]:
        return ["b", "unknown"] if queue == QUEUE else []


async def test_a_rescue_leaves_alone_what_this_process_runs(pen: Pen, other_pen: Pen) -> None:
    await pen.active("a", "b", "c")
    await other_pen.active("b")
    await pen.advance(LEASE_MS)
    holders = [Holder(pen.engine.location), Holder("memory://another")]
    for holder in holders:
        running.announce(holder)
    assert ids(await rescue(pen)) == ["a", "c"]
    assert ids(await rescue(other_pen)) == ["b"]
    running.withdraw(holders[0])
    assert ids(await rescue(pen)) == ["b"]
    running.withdraw(holders[1])


async def test_a_job_whose_lease_holds_stays_with_its_worker(pen: Pen) -> None:
    await pen.active("a")
    await pen.advance(HALF)
    assert await rescue(pen) == []
    assert await pen.counts() == {"active": 1}


async def test_only_jobs_whose_leases_ran_out_are_rescued(pen: Pen) -> None:
    await pen.add("a", "b", "c")
    await pen.fetch(1)
    await pen.advance(HALF)
    await pen.fetch(1)
    await pen.advance(HALF)
    assert ids(await rescue(pen)) == ["a"]
    assert await pen.counts() == {"active": 1, "waiting": 2}


async def test_rescued_jobs_go_before_those_that_wait_in_the_order_they_were_taken(
    pen: Pen,
) -> None:
    await pen.active("a", "b", "c")
    await pen.add("d")
    await pen.add("e", lifo=True)
    await pen.advance(LEASE_MS)
    assert ids(await rescue(pen)) == ["a", "b", "c"]
    assert await pen.order() == ["a", "b", "c", "e", "d"]


async def test_a_rescued_job_goes_first_in_its_own_priority(pen: Pen) -> None:
    await pen.active("a", priority=2)
    await pen.add("b", priority=2)
    await pen.add("c", priority=3)
    await pen.advance(LEASE_MS)
    await rescue(pen)
    assert await pen.order() == ["a", "b", "c"]


async def test_a_rescued_job_tells_its_next_worker_of_its_stalls(pen: Pen) -> None:
    await pen.active("a")
    for stalls in (1, 2, 3):
        await pen.advance(LEASE_MS)
        await rescue(pen)
        lease = await pen.one()
        assert (lease.stalls, lease.attempts_made, lease.attempts_started) == (
            stalls,
            0,
            stalls + 1,
        )
        assert lease.deferred_failure is None


async def test_a_job_that_stalls_too_often_is_poison(pen: Pen) -> None:
    await pen.active("a")
    for _ in range(2):
        await pen.advance(LEASE_MS)
        assert await rescue(pen, max_stalls=2) == [Stalled("a", poisoned=False)]
        assert (await pen.one()).deferred_failure is None
    await pen.advance(LEASE_MS)
    assert await rescue(pen, max_stalls=2) == [Stalled("a", poisoned=True)]
    lease = await pen.one()
    assert lease.deferred_failure == STALL_REASON
    assert await pen.settle(fail(lease)) == [None]
    assert await pen.state("a") is JobState.FAILED


async def test_where_no_stall_is_allowed_the_first_is_poison(pen: Pen) -> None:
    await pen.active("a")
    await pen.advance(LEASE_MS)
    assert await rescue(pen, max_stalls=0) == [Stalled("a", poisoned=True)]
    assert (await pen.one()).deferred_failure == STALL_REASON


@pytest.mark.parametrize("again", [Release, retry])
async def test_poison_stays_poison_though_it_is_given_back(pen: Pen, again: Again) -> None:
    await pen.active("a")
    await pen.advance(LEASE_MS)
    await rescue(pen, max_stalls=0)
    await pen.settle(again(await pen.one()))
    assert (await pen.one()).deferred_failure == STALL_REASON


async def test_a_poisoned_job_that_is_run_again_by_hand_begins_anew(pen: Pen) -> None:
    await pen.active("a")
    await pen.advance(LEASE_MS)
    await rescue(pen, max_stalls=0)
    await pen.settle(fail(await pen.one()))
    await pen.engine.jobs.retry(QUEUE, ["a"])
    lease = await pen.one()
    assert (lease.deferred_failure, lease.stalls) == (None, 0)


async def test_poison_that_was_cancelled_and_is_run_again_begins_anew(pen: Pen) -> None:
    await pen.active("a")
    await pen.advance(LEASE_MS)
    await rescue(pen, max_stalls=0)
    assert await pen.engine.jobs.cancel(QUEUE, ["a"]) == ["a"]
    assert await pen.engine.jobs.retry(QUEUE, ["a"]) == ["a"]
    assert (await pen.one()).deferred_failure is None


async def test_a_cancelled_job_that_stalls_is_to_be_failed_and_not_run(pen: Pen) -> None:
    await pen.active("a")
    await pen.engine.jobs.cancel(QUEUE, ["a"])
    await pen.advance(LEASE_MS)
    assert ids(await rescue(pen)) == ["a"]
    assert (await pen.one()).deferred_failure == CANCEL_REASON


async def test_a_rescue_takes_nothing_from_other_queues(pen: Pen, other_pen: Pen) -> None:
    await other_pen.active("a")
    await pen.advance(LEASE_MS)
    assert await rescue(pen) == []
    assert await other_pen.counts() == {"active": 1}


async def test_many_stalled_jobs_are_all_rescued_in_time(pen: Pen) -> None:
    wanted = [f"j{n:04}" for n in range(1_200)]
    await pen.add(*wanted)
    await pen.fetch(1_200)
    await pen.advance(LEASE_MS)
    found: list[str] = []
    while stalled := await rescue(pen):
        found += ids(stalled)
    assert sorted(found) == wanted
    assert await pen.counts() == {"waiting": 1_200}


@on_shared_stores
async def test_of_two_that_rescue_at_once_one_does(pen: Pen, store: Store) -> None:
    elsewhere = Pen(store.engine(), QUEUE, store)
    await pen.active("a")
    await pen.advance(LEASE_MS)
    assert ids([*await rescue(pen), *await rescue(elsewhere)]) == ["a"]
    assert (await pen.job("a")).stalls == 1


@on_shared_stores
async def test_workers_share_the_search_for_stalled_jobs(pen: Pen, store: Store) -> None:
    other = store.engine()
    await pen.active("a")
    await pen.advance(HALF)
    await pen.active("b")
    await pen.advance(HALF)
    assert ids(await pen.engine.rescue(QUEUE, 5, LEASE_MS)) == ["a"]
    await pen.advance(HALF)
    assert await other.rescue(QUEUE, 5, LEASE_MS) == []
    await pen.advance(HALF)
    assert ids(await other.rescue(QUEUE, 5, LEASE_MS)) == ["b"]


async def test_a_rescue_is_skipped_within_the_given_time_of_another(pen: Pen) -> None:
    await pen.active("a", lease_ms=HALF)
    assert await pen.engine.rescue(QUEUE, 5, LEASE_MS) == []
    await pen.advance(HALF)
    assert await pen.engine.rescue(QUEUE, 5, LEASE_MS) == []
    await pen.advance(HALF)
    assert ids(await pen.engine.rescue(QUEUE, 5, LEASE_MS)) == ["a"]


async def test_a_rescue_without_that_time_is_never_skipped(pen: Pen) -> None:
    await pen.active("a", lease_ms=HALF)
    assert await pen.engine.rescue(QUEUE, 5, LEASE_MS * 100) == []
    await pen.advance(HALF)
    assert ids(await rescue(pen)) == ["a"]


async def test_a_rescue_of_one_queue_skips_none_of_another(pen: Pen, other_pen: Pen) -> None:
    await pen.active("a", lease_ms=HALF)
    await pen.advance(HALF)
    assert await pen.engine.rescue(other_pen.queue, 5, LEASE_MS * 100) == []
    assert ids(await pen.engine.rescue(QUEUE, 5, LEASE_MS * 100)) == ["a"]
