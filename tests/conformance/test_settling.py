"""Giving jobs back: what each settlement does, and which are refused."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from tests.conformance.support import (
    LEASE_MS,
    QUEUE,
    SETTLEMENTS,
    Pen,
    Store,
    error,
    fail,
    ids,
    on_shared_stores,
    retry,
)
from toril.engine.contract.hot_path import Refusal
from toril.engine.contract.jobs import Ending
from toril.model.job import Job, Lease
from toril.model.options import Keep
from toril.model.settlement import Complete, Fail, Release, Retry, Settlement
from toril.model.state import JobState

LOST, MISSING = Refusal.LEASE_LOST, Refusal.MISSING

each_settlement = pytest.mark.parametrize("settle", SETTLEMENTS.values(), ids=SETTLEMENTS)

Settle = Callable[[Lease], Settlement]


async def picture(pen: Pen) -> tuple[list[Job], dict[str, str]]:
    """Return all that can be seen of the queue's jobs."""
    page = await pen.engine.jobs.page(pen.queue, limit=1000)
    return list(page.jobs), await pen.counts()


# What is refused


@each_settlement
async def test_a_settlement_without_its_lease_changes_nothing(pen: Pen, settle: Settle) -> None:
    await pen.add("a", "b")
    lease = await pen.one()
    forged = msgspec.structs.replace(lease, token="worker:999999")
    tail = await pen.tail()
    before = await picture(pen)
    assert await pen.settle(settle(forged)) == [LOST]
    assert await picture(pen) == before
    assert await tail.read() == []


@each_settlement
async def test_a_lease_that_has_run_out_settles_nothing(pen: Pen, settle: Settle) -> None:
    (lease,) = await pen.active("a")
    await pen.advance(LEASE_MS)
    before = await picture(pen)
    assert await pen.settle(settle(lease)) == [LOST]
    assert await picture(pen) == before


@each_settlement
async def test_a_lease_holds_until_its_time_has_passed(pen: Pen, settle: Settle) -> None:
    (lease,) = await pen.active("a")
    await pen.advance(LEASE_MS // 2)
    assert await pen.settle(settle(lease)) == [None]


@each_settlement
async def test_a_lease_settles_once(pen: Pen, settle: Settle) -> None:
    (lease,) = await pen.active("a")
    assert await pen.settle(settle(lease)) == [None]
    before = await picture(pen)
    assert await pen.settle(settle(lease)) == [LOST]
    assert await picture(pen) == before


@each_settlement
async def test_of_a_lease_settled_twice_in_one_call_the_first_counts(
    pen: Pen, settle: Settle
) -> None:
    first, second = await pen.active("a", "b")
    answer = await pen.settle(Complete(first, "1"), settle(first), Complete(second, "2"))
    assert answer == [None, LOST, None]
    assert (await pen.job("a")).result == 1
    assert (await pen.job("b")).result == 2


@each_settlement
async def test_a_former_worker_settles_nothing_of_the_present_ones(
    pen: Pen, settle: Settle
) -> None:
    (old,) = await pen.active("a")
    await pen.advance(LEASE_MS)
    await pen.engine.rescue(pen.queue, 5)
    new = await pen.one(worker="second")
    before = await picture(pen)
    assert await pen.settle(settle(old)) == [LOST]
    assert await picture(pen) == before
    assert await pen.settle(Complete(new)) == [None]


@each_settlement
async def test_a_job_that_was_given_back_is_not_settled_by_the_giver(
    pen: Pen, settle: Settle
) -> None:
    (lease,) = await pen.active("a")
    await pen.settle(Release(lease))
    before = await picture(pen)
    assert await pen.settle(settle(lease)) == [LOST]
    assert await picture(pen) == before


@each_settlement
async def test_a_job_that_is_not_there_is_missing(pen: Pen, settle: Settle) -> None:
    (lease,) = await pen.active("a")
    await pen.settle(Complete(lease, keep=Keep(count=0)))
    assert await pen.settle(settle(lease)) == [MISSING]
    assert await pen.counts() == {}


async def test_a_job_that_was_obliterated_is_missing(pen: Pen) -> None:
    (lease,) = await pen.active("a")
    await pen.engine.queues.obliterate(pen.queue, force=True)
    assert await pen.settle(Complete(lease)) == [MISSING]


async def test_an_id_that_was_added_again_is_not_settled_by_the_old_lease(pen: Pen) -> None:
    (old,) = await pen.active("a")
    await pen.settle(Complete(old, keep=Keep(count=0)))
    (new,) = await pen.active("a")
    assert await pen.settle(Complete(old)) == [LOST]
    assert await pen.settle(Complete(new)) == [None]


async def test_results_stand_in_the_order_of_the_settlements(pen: Pen) -> None:
    a, b, c, d, e = await pen.active("a", "b", "c", "d", "e")
    await pen.settle(Complete(b, keep=Keep(count=0)), Release(d))
    answer = await pen.settle(Complete(a), Complete(b), retry(c), fail(d), Release(e))
    assert answer == [None, MISSING, None, LOST, None]
    assert await pen.state("a") is JobState.COMPLETED
    assert await pen.state("c") is JobState.WAITING
    assert await pen.state("e") is JobState.WAITING


async def test_a_refused_settlement_keeps_none_of_the_others_back(pen: Pen) -> None:
    a, b = await pen.active("a", "b")
    await pen.settle(Release(a))
    await pen.add("c")
    answer = await pen.exchange([Complete(a), Complete(b)], 5)
    assert list(answer.results) == [LOST, None]
    assert ids(answer.leases) == ["a", "c"]


@on_shared_stores
async def test_a_lease_is_good_on_every_engine_of_the_store(pen: Pen, store: Store) -> None:
    (lease,) = await pen.active("a")
    elsewhere = Pen(store.engine(), QUEUE, store)
    assert await elsewhere.settle(Complete(lease)) == [None]
    assert await pen.settle(Complete(lease)) == [LOST]


# Completing


@pytest.mark.parametrize(
    "result", [None, "null", '{"sent":true}', '"naïve 🐂 \\u0000"', "[1,2.50,1e9]", "0", '""']
)
async def test_a_completed_job_keeps_its_result(pen: Pen, result: str | None) -> None:
    (lease,) = await pen.active("a")
    await pen.advance(300)
    await pen.settle(Complete(lease, result))
    found = await pen.job("a")
    assert found.state is JobState.COMPLETED
    assert (found.result_json or "null") == (result or "null")
    assert found.finished_ms is not None
    assert found.finished_ms >= lease.started_ms + 300
    assert (found.attempts_made, found.attempts_started) == (1, 1)
    assert (found.worker, found.errors) == (None, ())


async def test_each_completed_job_keeps_its_own_result(pen: Pen) -> None:
    leases = await pen.active(*(f"j{n}" for n in range(20)))
    await pen.settle(*(Complete(lease, f'"{lease.id}"') for lease in reversed(leases)))
    for lease in leases:
        assert (await pen.job(lease.id)).result == lease.id


async def test_a_result_is_kept_though_another_job_of_the_call_is_not(pen: Pen) -> None:
    a, b, c = await pen.active("a", "b", "c")
    await pen.settle(Complete(a, "1"), Complete(b, "2", Keep(count=0)), Complete(c, "3"))
    assert (await pen.job("a")).result == 1
    assert await pen.state("b") is None
    assert (await pen.job("c")).result == 3


# Failing


async def test_a_failed_job_keeps_its_error(pen: Pen) -> None:
    (lease,) = await pen.active("a")
    await pen.advance(300)
    await pen.settle(Fail(lease, error(lease, "no such address: naïve 🐂 \x00 '")))
    found = await pen.job("a")
    assert found.state is JobState.FAILED
    assert found.failed_reason == "no such address: naïve 🐂 \x00 '"
    (kept,) = found.errors
    assert (kept.attempt, kept.type, kept.stack) == (1, "ValueError", "the traceback")
    assert kept.started_ms == lease.started_ms
    assert kept.ended_ms == found.finished_ms
    assert found.finished_ms is not None
    assert found.finished_ms >= lease.started_ms + 300
    assert (found.attempts_made, found.attempts_started) == (1, 1)
    assert found.result_json is None


async def test_a_failed_jobs_last_error_is_its_ending(pen: Pen) -> None:
    (lease,) = await pen.active("a")
    await pen.settle(Retry(lease, error(lease, "first")))
    lease = await pen.one()
    await pen.settle(Fail(lease, error(lease, "last")))
    ending = (await pen.engine.jobs.endings(pen.queue, ["a"]))["a"]
    assert isinstance(ending, Ending)
    assert ending.state is JobState.FAILED
    assert ending.error is not None
    assert (ending.error.attempt, ending.error.message) == (2, "last")


# Retrying


async def test_a_retried_job_goes_behind_those_that_wait(pen: Pen) -> None:
    (lease,) = await pen.active("a")
    await pen.add("b", "c")
    await pen.settle(retry(lease))
    assert await pen.counts() == {"waiting": 3}
    await pen.add("d")
    assert await pen.order() == ["b", "c", "a", "d"]


async def test_a_retried_job_keeps_its_priority(pen: Pen) -> None:
    (lease,) = await pen.active("a", priority=1)
    await pen.add("b", priority=1)
    await pen.add("c", priority=5)
    await pen.settle(retry(lease))
    assert await pen.counts() == {"prioritized": 3}
    assert await pen.order() == ["b", "a", "c"]


async def test_a_job_retried_with_a_delay_waits_for_it(pen: Pen, store: Store) -> None:
    (lease,) = await pen.active("a")
    await pen.settle(retry(lease, 2_000))
    found = await pen.job("a")
    assert found.state is JobState.DELAYED
    assert found.due_ms is not None
    assert lease.started_ms + 2_000 <= found.due_ms <= await store.now() + 2_000
    await pen.advance(1_000)
    assert await pen.fetch() == []
    await pen.advance(1_000)
    assert ids(await pen.fetch()) == ["a"]


@pytest.mark.parametrize("delay_ms", [0, 1_000])
async def test_a_retry_uses_up_an_attempt_and_keeps_its_error(pen: Pen, delay_ms: int) -> None:
    (lease,) = await pen.active("a")
    await pen.settle(Retry(lease, error(lease, "first"), delay_ms))
    found = await pen.job("a")
    assert (found.attempts_made, found.attempts_started, found.worker) == (1, 1, None)
    assert [kept.message for kept in found.errors] == ["first"]
    await pen.advance(delay_ms)
    lease = await pen.one()
    assert (lease.attempts_made, lease.attempts_started) == (1, 2)
    await pen.settle(Retry(lease, error(lease, "second"), delay_ms))
    await pen.advance(delay_ms)
    lease = await pen.one()
    assert (lease.attempts_made, lease.attempts_started) == (2, 3)
    await pen.settle(Complete(lease))
    found = await pen.job("a")
    assert (found.attempts_made, found.attempts_started) == (3, 3)
    assert [(kept.attempt, kept.message) for kept in found.errors] == [(1, "first"), (2, "second")]


async def test_jobs_retried_in_one_call_keep_their_order(pen: Pen) -> None:
    leases = await pen.active("a", "b", "c")
    await pen.settle(*(retry(lease) for lease in leases))
    assert await pen.order() == ["a", "b", "c"]


async def test_the_last_error_is_kept_however_often_a_job_was_tried(pen: Pen) -> None:
    async def run(attempts: int, label: str) -> None:
        for n in range(1, attempts + 1):
            lease = await pen.one()
            kept = error(lease, f"{label} {n}")
            last = n == attempts
            await pen.settle(Fail(lease, kept) if last else Retry(lease, kept))
        found = await pen.job("a")
        assert found.failed_reason == f"{label} {attempts}"
        assert found.attempts_made == attempts

    await pen.add("a")
    await run(60, "first life")
    await pen.engine.jobs.retry(pen.queue, ["a"])
    await run(30, "second life")


# Giving back


async def test_a_released_job_goes_before_those_that_wait(pen: Pen) -> None:
    (lease,) = await pen.active("a")
    await pen.add("b", "c")
    await pen.settle(Release(lease))
    assert await pen.order() == ["a", "b", "c"]


async def test_jobs_released_in_one_call_keep_their_order(pen: Pen) -> None:
    leases = await pen.active("a", "b", "c")
    await pen.add("d")
    await pen.settle(*(Release(lease) for lease in leases))
    assert await pen.order() == ["a", "b", "c", "d"]


async def test_jobs_released_in_one_call_keep_their_order_whatever_lies_between(pen: Pen) -> None:
    a, b, c, d = await pen.active("a", "b", "c", "d")
    await pen.settle(Release(a), Complete(b), Release(c), retry(d, 60_000))
    assert await pen.order() == ["a", "c"]


async def test_a_released_job_goes_first_in_its_own_priority(pen: Pen) -> None:
    (lease,) = await pen.active("a", priority=2)
    await pen.add("b", priority=2)
    await pen.settle(Release(lease))
    assert await pen.counts() == {"prioritized": 2}
    assert await pen.order() == ["a", "b"]


@pytest.mark.parametrize("delay_ms", [0, 1_000])
async def test_a_release_uses_up_no_attempt_and_leaves_no_error(pen: Pen, delay_ms: int) -> None:
    (lease,) = await pen.active("a")
    await pen.settle(Release(lease, delay_ms))
    found = await pen.job("a")
    assert (found.attempts_made, found.attempts_started, found.stalls) == (0, 1, 0)
    assert (found.errors, found.worker) == ((), None)
    await pen.advance(delay_ms)
    lease = await pen.one()
    assert (lease.attempts_made, lease.attempts_started) == (0, 2)


async def test_a_job_released_with_a_delay_waits_for_it(pen: Pen) -> None:
    (lease,) = await pen.active("a")
    await pen.settle(Release(lease, 2_000))
    assert await pen.counts() == {"delayed": 1}
    await pen.advance(1_000)
    assert await pen.fetch() == []
    await pen.advance(1_000)
    assert ids(await pen.fetch()) == ["a"]


# All at once


async def test_one_call_takes_settlements_of_every_kind(pen: Pen) -> None:
    a, b, c, d, e, f = await pen.active("a", "b", "c", "d", "e", "f")
    await pen.add("g")
    answer = await pen.exchange(
        [
            Complete(a, '"A"'),
            retry(b, 1_000),
            Release(c),
            fail(d),
            retry(e),
            Complete(f, '"F"'),
        ],
        10,
    )
    assert list(answer.results) == [None] * 6
    assert ids(answer.leases) == ["c", "g", "e"]
    assert answer.next_due == (await pen.job("b")).due_ms
    assert await pen.counts() == {"completed": 2, "delayed": 1, "failed": 1, "active": 3}
    assert [(await pen.job(i)).result for i in "af"] == ["A", "F"]
