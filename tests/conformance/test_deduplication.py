"""When a job that is added counts as one that is there already."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from tests.conformance.support import Pen, Result, fail, ids, job, retry
from toril.engine.contract.hot_path import AddStatus
from toril.model.options import Deduplication, Keep
from toril.model.settlement import Complete, Release
from toril.model.state import JobState

SIMPLE = Deduplication.simple("key")
THROTTLE = Deduplication.throttle(2, "key")
DEBOUNCE = Deduplication.debounce(2, "key")


async def is_held(pen: Pen, rule: Deduplication = SIMPLE) -> bool:
    """Whether a further job with the key is kept out. It is taken away again."""
    (added,) = await pen.add(job("probe", deduplication=rule))
    if added.status is AddStatus.CREATED:
        await pen.engine.jobs.remove(pen.queue, ["probe"])
    return added.status is AddStatus.DEDUPLICATED


async def test_a_further_job_with_a_held_key_gets_the_holders_id(pen: Pen) -> None:
    await pen.add("a", deduplication=SIMPLE)
    answer = await pen.add("b", deduplication=SIMPLE)
    assert answer == [Result("a", AddStatus.DEDUPLICATED)]
    assert await pen.order() == ["a"]


async def test_within_a_batch_the_first_with_a_key_holds_it(pen: Pen) -> None:
    answer = await pen.add(
        job("a"),
        job("b", deduplication=SIMPLE),
        job("c", deduplication=SIMPLE),
        job("d"),
        job("e", deduplication=Deduplication.simple("another")),
    )
    assert answer == [
        Result("a", AddStatus.CREATED),
        Result("b", AddStatus.CREATED),
        Result("b", AddStatus.DEDUPLICATED),
        Result("d", AddStatus.CREATED),
        Result("e", AddStatus.CREATED),
    ]
    assert await pen.order() == ["a", "b", "d", "e"]


async def test_an_id_that_is_there_is_a_duplicate_before_its_key_is_asked(pen: Pen) -> None:
    await pen.add("a", deduplication=SIMPLE)
    assert await pen.add("a", deduplication=SIMPLE) == [Result("a", AddStatus.DUPLICATE)]


async def test_without_a_key_jobs_of_equal_name_and_data_are_equal(pen: Pen) -> None:
    rule = Deduplication.simple()
    answer = await pen.add(
        job("a", '{"x":1,"y":2}', deduplication=rule),
        job("b", '{"y":2,"x":1}', deduplication=rule),
        job("c", '{"x":1,"y":3}', deduplication=rule),
        job("d", '{"x":1,"y":2}', name="other", deduplication=rule),
    )
    assert ids(answer) == ["a", "a", "c", "d"]


async def test_queues_hold_keys_apart(pen: Pen, other_pen: Pen) -> None:
    await pen.add("a", deduplication=SIMPLE)
    answer = await other_pen.add("b", deduplication=SIMPLE)
    assert answer == [Result("b", AddStatus.CREATED)]


async def test_a_simple_key_is_held_while_the_job_goes_on(pen: Pen) -> None:
    await pen.add("a", deduplication=SIMPLE)
    assert await is_held(pen)
    lease = await pen.one()
    assert await is_held(pen)
    await pen.settle(retry(lease, 1_000))
    assert await is_held(pen)
    await pen.advance(1_000)
    await pen.settle(Release(await pen.one()))
    assert await is_held(pen)


@pytest.mark.parametrize("keep", [None, Keep(count=0)])
async def test_a_simple_key_is_free_when_its_job_has_completed(pen: Pen, keep: Keep | None) -> None:
    (lease,) = await pen.active("a", deduplication=SIMPLE)
    await pen.settle(Complete(lease, keep=keep))
    assert not await is_held(pen)


@pytest.mark.parametrize("keep", [None, Keep(count=0)])
async def test_a_simple_key_is_free_when_its_job_has_failed(pen: Pen, keep: Keep | None) -> None:
    (lease,) = await pen.active("a", deduplication=SIMPLE)
    await pen.settle(fail(lease, keep))
    assert not await is_held(pen)


async def test_a_simple_key_is_free_when_its_job_was_removed(pen: Pen) -> None:
    await pen.add("a", deduplication=SIMPLE)
    await pen.engine.jobs.remove(pen.queue, ["a"])
    assert not await is_held(pen)


async def test_a_simple_key_is_free_when_its_job_was_cancelled(pen: Pen) -> None:
    await pen.add("a", deduplication=SIMPLE)
    await pen.engine.jobs.cancel(pen.queue, ["a"])
    assert not await is_held(pen)


async def test_a_simple_key_is_free_when_its_job_was_drained(pen: Pen) -> None:
    await pen.add("a", deduplication=SIMPLE)
    await pen.engine.queues.drain(pen.queue)
    assert not await is_held(pen)


async def test_a_settlement_that_is_refused_frees_no_key(pen: Pen) -> None:
    (lease,) = await pen.active("a", deduplication=SIMPLE)
    await pen.settle(Release(lease))
    await pen.settle(Complete(lease))
    assert await is_held(pen)


async def test_the_end_of_a_job_frees_only_the_key_it_holds(pen: Pen) -> None:
    (first,) = await pen.active("a", deduplication=SIMPLE)
    await pen.settle(Complete(first))
    await pen.add("b", deduplication=SIMPLE)
    await pen.engine.jobs.remove(pen.queue, ["a"])
    assert await is_held(pen)


async def test_a_throttle_holds_its_key_for_its_time_and_no_longer(pen: Pen) -> None:
    await pen.add("a", deduplication=THROTTLE)
    await pen.advance(1_000)
    assert await pen.add("b", deduplication=THROTTLE) == [Result("a", AddStatus.DEDUPLICATED)]
    await pen.advance(1_000)
    assert await pen.add("c", deduplication=THROTTLE) == [Result("c", AddStatus.CREATED)]


async def test_a_throttle_holds_its_key_though_its_job_has_completed(pen: Pen) -> None:
    (lease,) = await pen.active("a", deduplication=THROTTLE)
    await pen.settle(Complete(lease))
    assert await pen.add("b", deduplication=THROTTLE) == [Result("a", AddStatus.DEDUPLICATED)]


@pytest.mark.parametrize("keep", [Keep(count=0), Keep(count=1)])
async def test_a_throttle_holds_its_key_though_its_job_was_not_kept(pen: Pen, keep: Keep) -> None:
    first, second = await pen.active(job("a", deduplication=THROTTLE), job("b"))
    await pen.settle(Complete(first, keep=keep))
    await pen.settle(Complete(second, keep=keep))
    assert await pen.state("a") is None
    (added,) = await pen.add("c", deduplication=THROTTLE)
    assert added.status is AddStatus.DEDUPLICATED


@pytest.mark.parametrize("way", ["remove", "drain", "clean"])
async def test_a_throttle_ends_when_somebody_removes_its_job(pen: Pen, way: str) -> None:
    await pen.add("a", deduplication=THROTTLE)
    match way:
        case "remove":
            await pen.engine.jobs.remove(pen.queue, ["a"])
        case "drain":
            await pen.engine.queues.drain(pen.queue)
        case _:
            await pen.engine.queues.clean(pen.queue, JobState.WAITING, 0, 1)
    assert not await is_held(pen, THROTTLE)


async def test_each_further_add_of_an_extending_rule_starts_the_time_anew(pen: Pen) -> None:
    rule = Deduplication("key", ttl_ms=2_000, extend=True)
    await pen.add("a", deduplication=rule)
    for _ in range(3):
        await pen.advance(1_500)
        assert await pen.add("b", deduplication=rule) == [Result("a", AddStatus.DEDUPLICATED)]
    await pen.advance(2_000)
    assert await pen.add("b", deduplication=rule) == [Result("b", AddStatus.CREATED)]


async def test_a_replacing_rule_puts_the_last_data_into_the_job_that_is_delayed(pen: Pen) -> None:
    rule = Deduplication("key", ttl_ms=10_000, replace=True)
    await pen.add(job("a", "1", delay=1, deduplication=rule))
    (added,) = await pen.add(job("b", "2", delay=1, deduplication=rule))
    assert await pen.listed() == [added.id]
    await pen.advance(1_000)
    assert (await pen.one()).data == "2"


async def test_a_debounce_runs_only_the_last_of_a_burst(pen: Pen) -> None:
    for name, data in (("a", "1"), ("b", "2"), ("c", "3")):
        (added,) = await pen.add(job(name, data, deduplication=DEBOUNCE))
        await pen.advance(1_000)
    assert await pen.counts() == {"delayed": 1}
    found = await pen.job(added.id)
    assert found.data == 3
    assert await pen.fetch() == []
    await pen.advance(1_000)
    assert (await pen.one()).data == "3"
    assert await pen.fetch() == []


async def test_a_debounced_job_is_due_its_time_after_the_last(pen: Pen) -> None:
    await pen.add("a", deduplication=DEBOUNCE)
    first = await pen.listed()
    due = (await pen.job(first[0])).due_ms
    before = await pen.store.now()
    await pen.advance(1_000)
    await pen.add("b", deduplication=DEBOUNCE)
    (left,) = await pen.listed()
    assert (await pen.job(left)).due_ms - due == await pen.store.now() - before


async def test_a_debounced_job_that_has_started_is_not_replaced(pen: Pen) -> None:
    await pen.add(job("a", "1", deduplication=DEBOUNCE))
    await pen.engine.jobs.promote(pen.queue, ["a"])
    lease = await pen.one()
    assert await pen.add("b", deduplication=DEBOUNCE) == [Result("b", AddStatus.CREATED)]
    assert await pen.settle(Complete(lease)) == [None]
    assert (await pen.job("a")).state is JobState.COMPLETED


async def is_promoted(pen: Pen) -> None:
    await pen.engine.jobs.promote(pen.queue, ["a"])


async def has_started(pen: Pen) -> None:
    await is_promoted(pen)
    await pen.one(lease_ms=60_000)


async def has_completed(pen: Pen) -> None:
    await is_promoted(pen)
    await pen.settle(Complete(await pen.one()))


async def is_not_kept(pen: Pen) -> None:
    await is_promoted(pen)
    await pen.settle(Complete(await pen.one(), keep=Keep(count=0)))


async def has_failed(pen: Pen) -> None:
    await is_promoted(pen)
    await pen.settle(fail(await pen.one()))


async def is_retried_later(pen: Pen) -> None:
    await is_promoted(pen)
    await pen.settle(retry(await pen.one(), 60_000))


@pytest.mark.parametrize(
    "happened",
    [is_promoted, has_started, has_completed, is_not_kept, has_failed, is_retried_later],
)
async def test_the_last_of_a_burst_runs_whatever_has_become_of_the_first(
    pen: Pen, happened: Callable[[Pen], Awaitable[None]]
) -> None:
    await pen.add(job("a", "1", deduplication=DEBOUNCE))
    await happened(pen)
    for name, data in (("b", "2"), ("c", "3")):
        (added,) = await pen.add(job(name, data, deduplication=DEBOUNCE))
        assert added == Result(name, AddStatus.CREATED)
    await pen.advance(2_000)
    ran = {lease.id: lease.data for lease in await pen.fetch(10)}
    assert ran.pop("c") == "3"
    assert "b" not in ran


async def test_the_last_of_a_burst_runs_though_the_first_was_delayed_for_less_than_its_time(
    pen: Pen,
) -> None:
    rule = Deduplication.debounce(10, "key")
    await pen.add(job("a", "1", delay=1, deduplication=rule))
    await pen.advance(1_000)
    assert (await pen.one()).data == "1"
    await pen.add(job("b", "2", delay=1, deduplication=rule))
    await pen.advance(1_000)
    assert (await pen.one()).data == "2"


async def test_a_job_that_follows_one_that_runs_holds_the_key(pen: Pen) -> None:
    await pen.add("a", deduplication=DEBOUNCE)
    await has_started(pen)
    await pen.add("b", deduplication=DEBOUNCE)
    assert await is_held(pen, THROTTLE)
    await pen.engine.jobs.cancel(pen.queue, ["a"])
    assert await is_held(pen, THROTTLE)


async def test_a_debounce_does_not_remove_a_job_that_has_got_the_holders_id(pen: Pen) -> None:
    await pen.add("a", deduplication=DEBOUNCE)
    await is_not_kept(pen)
    await pen.add(job("a", "other", delay=60))
    await pen.add(job("b", deduplication=DEBOUNCE))
    assert await pen.counts() == {"delayed": 2}


async def test_after_its_quiet_time_a_debounce_begins_anew(pen: Pen) -> None:
    await pen.add("a", deduplication=DEBOUNCE)
    await pen.advance(2_000)
    await pen.finished("unrelated")
    (added,) = await pen.add("b", deduplication=DEBOUNCE)
    assert added == Result("b", AddStatus.CREATED)
