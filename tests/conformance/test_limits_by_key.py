"""Limits by key, and token buckets: what holds for each tenant, and who comes when."""

import json
from collections import Counter

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
from toril.engine.contract.engine import Engine
from toril.errors import ConflictError, NotFoundError
from toril.model.job import Lease
from toril.model.limits import KeyLimits, Limits, RateLimit
from toril.model.settlement import Complete, Release
from toril.model.state import JobState

ONE_AT_A_TIME = KeyLimits("tenant", concurrency=1)
TWO_A_SECOND = KeyLimits("tenant", RateLimit(2, per=1))
IN_TURN = KeyLimits("tenant", concurrency=1000)


async def add_for(pen: Pen, tenant: object, *job_ids: str, **options: object) -> None:
    await pen.add(*job_ids, data=json.dumps({"tenant": tenant}), **options)


def tenants(leases: list[Lease]) -> list[str]:
    """Whose jobs they are: an id is the tenant's letter and a number."""
    return [lease.id[0] for lease in leases]


# Taking turns


async def test_keys_take_turns(pen: Pen) -> None:
    await pen.engine.queues.register(QUEUE, Limits(by_key=IN_TURN))
    await add_for(pen, "a", "a1", "a2", "a3", "a4")
    await add_for(pen, "b", "b1", "b2")
    await add_for(pen, "c", "c1")

    assert ids(await pen.fetch(9)) == ["a1", "b1", "c1", "a2", "b2", "a3", "a4"]


async def test_a_key_keeps_its_turn_over_several_calls(pen: Pen) -> None:
    await pen.engine.queues.register(QUEUE, Limits(by_key=IN_TURN))
    await add_for(pen, "a", "a1", "a2", "a3")
    assert ids(await pen.fetch(1)) == ["a1"]
    await add_for(pen, "b", "b1", "b2")

    assert [ids(await pen.fetch(1)) for _ in range(4)] == [["a2"], ["b1"], ["a3"], ["b2"]]


async def test_a_key_with_few_jobs_does_not_wait_for_one_with_many(pen: Pen) -> None:
    await pen.engine.queues.register(QUEUE, Limits(by_key=IN_TURN))
    await add_for(pen, "a", *(f"a{n}" for n in range(5000)))
    await add_for(pen, "b", *(f"b{n}" for n in range(10)))

    taken: list[str] = []
    while taken.count("b") < 10:
        taken += tenants(await pen.fetch(4))
    # What was not in its lane yet at the first calls is in front of b; then every second is b's.
    assert len(taken) < 200


async def test_a_keys_jobs_go_by_priority_and_then_in_order(pen: Pen) -> None:
    await pen.engine.queues.register(QUEUE, Limits(by_key=IN_TURN))
    await add_for(pen, "a", "a1", priority=2)
    await add_for(pen, "a", "a2")
    await add_for(pen, "a", "a3", priority=1)
    await add_for(pen, "a", "a4")

    assert ids(await pen.fetch(9)) == ["a2", "a4", "a3", "a1"]


async def test_the_key_is_looked_for_in_the_metadata_first(pen: Pen) -> None:
    await pen.engine.queues.register(QUEUE, Limits(by_key=ONE_AT_A_TIME))
    await add_for(pen, "a", "a1")
    await add_for(pen, "a", "b1", metadata={"tenant": "b"})

    assert ids(await pen.fetch(9)) == ["a1", "b1"]


@pytest.mark.parametrize(
    "tenant", ["Ünï © 🐂", "", 7, 7.5, 0.1, -1, 2**40, True, False, "a b", '"', "%d"]
)
async def test_text_numbers_and_truth_values_are_keys(pen: Pen, tenant: object) -> None:
    await pen.engine.queues.register(QUEUE, Limits(by_key=ONE_AT_A_TIME))
    await add_for(pen, tenant, "j1", "j2")
    await add_for(pen, "other", "o1")
    if tenant == "":
        assert ids(await pen.fetch(9)) == ["j1", "o1", "j2"]  # no key: nothing holds it back
    else:
        assert ids(await pen.fetch(9)) == ["j1", "o1"]


@pytest.mark.parametrize("data", [None, [], {}, {"tenant": None}, {"tenant": {"id": 1}}, "tenant"])
async def test_a_job_without_a_key_is_held_back_by_no_limit(pen: Pen, data: object) -> None:
    await pen.engine.queues.register(
        QUEUE, Limits(by_key=KeyLimits("tenant", RateLimit(1, per=60), 1))
    )
    await pen.add("j1", "j2", "j3", data=json.dumps(data))

    assert ids(await pen.fetch(9)) == ["j1", "j2", "j3"]


async def test_a_number_and_the_same_as_text_are_one_key(pen: Pen) -> None:
    await pen.engine.queues.register(QUEUE, Limits(by_key=ONE_AT_A_TIME))
    await add_for(pen, 42, "j1")
    await add_for(pen, "42", "j2")

    assert ids(await pen.fetch(9)) == ["j1"]


@pytest.mark.parametrize("field", ["Größe", 'a "b"', "a\\b", "tenant id"])
async def test_any_field_can_be_the_key(pen: Pen, field: str) -> None:
    await pen.engine.queues.register(QUEUE, Limits(by_key=KeyLimits(field, concurrency=1)))
    await pen.add("a1", "a2", data=json.dumps({field: "a"}))
    await pen.add("b1", data=json.dumps({field: "b"}, ensure_ascii=False))

    assert ids(await pen.fetch(9)) == ["a1", "b1"]


async def test_a_payload_that_was_changed_names_the_new_key(pen: Pen) -> None:
    await pen.engine.queues.register(QUEUE, Limits(by_key=ONE_AT_A_TIME))
    await add_for(pen, "a", "a1", "a2", "a3")
    await pen.engine.jobs.change(QUEUE, "a3", data='{"tenant": "b"}')

    assert ids(await pen.fetch(9)) == ["a1", "a3"]


# Concurrency


async def test_no_more_jobs_of_a_key_run_at_once_than_may(pen: Pen) -> None:
    await pen.engine.queues.register(QUEUE, Limits(by_key=KeyLimits("tenant", concurrency=2)))
    await add_for(pen, "a", "a1", "a2", "a3", "a4")
    await add_for(pen, "b", "b1")

    leases = await pen.fetch(9)
    assert Counter(tenants(leases)) == {"a": 2, "b": 1}
    assert await pen.fetch(9) == []


@pytest.mark.parametrize("settle", [Complete, fail], ids=["complete", "fail"])
async def test_the_end_of_a_job_lets_the_next_of_its_key_run(pen: Pen, settle: object) -> None:
    await pen.engine.queues.register(QUEUE, Limits(by_key=ONE_AT_A_TIME))
    await add_for(pen, "a", "a1", "a2")
    (lease,) = await pen.fetch(9)

    answer = await pen.exchange([settle(lease)], 9)  # type: ignore[operator]
    assert ids(answer.leases) == ["a2"]


async def test_a_retry_with_a_delay_lets_the_next_of_its_key_run(pen: Pen) -> None:
    await pen.engine.queues.register(QUEUE, Limits(by_key=ONE_AT_A_TIME))
    await add_for(pen, "a", "a1", "a2", attempts=2, backoff={"delay": 1})
    (lease,) = await pen.fetch(9)
    await pen.settle(retry(lease, 1_000))

    (second,) = await pen.fetch(9)
    assert second.id == "a2"
    await pen.advance(1_000)
    assert await pen.fetch(9) == []  # a2 runs still
    assert ids((await pen.exchange([Complete(second)], 9)).leases) == ["a1"]


async def test_a_job_given_back_comes_before_the_others_of_its_key(pen: Pen) -> None:
    await pen.engine.queues.register(QUEUE, Limits(by_key=ONE_AT_A_TIME))
    await add_for(pen, "a", "a1", "a2", "a3")
    (lease,) = await pen.fetch(9)
    await pen.settle(Release(lease))

    assert ids(await pen.fetch(9)) == ["a1"]


async def test_a_job_whose_worker_died_makes_room_for_its_key(pen: Pen) -> None:
    await pen.engine.queues.register(QUEUE, Limits(by_key=ONE_AT_A_TIME))
    await add_for(pen, "a", "a1", "a2")
    await pen.fetch(9)
    await pen.advance(LEASE_MS)
    await pen.engine.rescue(QUEUE, 5)

    assert ids(await pen.fetch(9)) == ["a1"]
    assert await pen.fetch(9) == []


async def test_a_waiting_job_that_is_removed_leaves_its_place_to_the_next(pen: Pen) -> None:
    await pen.engine.queues.register(QUEUE, Limits(by_key=ONE_AT_A_TIME))
    await add_for(pen, "a", "a1", "a2", "a3")
    (lease,) = await pen.fetch(9)
    assert await pen.engine.jobs.remove(QUEUE, ["a2"]) == ["a2"]

    assert ids((await pen.exchange([Complete(lease)], 9)).leases) == ["a3"]


async def test_a_concurrency_that_was_raised_holds_from_the_next_call(pen: Pen) -> None:
    await pen.engine.queues.register(QUEUE, Limits(by_key=ONE_AT_A_TIME))
    await add_for(pen, "a", "a1", "a2", "a3", "a4")
    assert len(await pen.fetch(9)) == 1
    await pen.engine.queues.register(QUEUE, Limits(by_key=KeyLimits("tenant", concurrency=3)))

    assert len(await pen.fetch(9)) == 2


async def test_the_queues_own_concurrency_holds_as_well(pen: Pen) -> None:
    await pen.engine.queues.register(QUEUE, Limits(by_key=ONE_AT_A_TIME, concurrency=2))
    for tenant in "abc":
        await add_for(pen, tenant, f"{tenant}1")

    assert ids(await pen.fetch(9)) == ["a1", "b1"]


# Rate


async def test_no_more_jobs_of_a_key_start_in_a_window_than_may(pen: Pen) -> None:
    await pen.engine.queues.register(QUEUE, Limits(by_key=TWO_A_SECOND))
    await add_for(pen, "a", "a1", "a2", "a3", "a4", "a5")
    await add_for(pen, "b", "b1")

    assert ids(await pen.fetch(9)) == ["a1", "b1", "a2"]
    await pen.advance(500)
    assert await pen.fetch(9) == []
    await pen.advance(500)
    assert ids(await pen.fetch(9)) == ["a3", "a4"]


async def test_who_finds_only_keys_at_their_limit_is_told_until_when(
    pen: Pen, store: Store
) -> None:
    await pen.engine.queues.register(QUEUE, Limits(by_key=TWO_A_SECOND))
    await add_for(pen, "a", "a1", "a2", "a3")
    before = await store.now()
    answer = await pen.exchange(fetch=9)
    after = await store.now()

    assert answer.limited_until is not None
    assert before + 1_000 <= answer.limited_until <= after + 1_001


async def test_the_queues_own_rate_holds_as_well(pen: Pen) -> None:
    await pen.engine.queues.register(QUEUE, Limits(by_key=TWO_A_SECOND, rate=RateLimit(3, per=1)))
    for tenant in "abc":
        await add_for(pen, tenant, f"{tenant}1", f"{tenant}2")

    assert ids(await pen.fetch(9)) == ["a1", "b1", "c1"]


async def test_a_bucket_by_key_lets_each_start_evenly(pen: Pen) -> None:
    await pen.engine.queues.register(
        QUEUE, Limits(by_key=KeyLimits("tenant", RateLimit(10, per=1, burst=2)))
    )
    await add_for(pen, "a", *(f"a{n}" for n in range(9)))
    await add_for(pen, "b", "b1")

    assert Counter(tenants(await pen.fetch(9))) == {"a": 2, "b": 1}
    for _ in range(3):
        await pen.advance(100)
        assert len(await pen.fetch(9)) == 1


# A bucket for the whole queue


async def test_a_bucket_lets_a_burst_start_and_then_one_after_the_other(pen: Pen) -> None:
    await pen.engine.queues.register(QUEUE, Limits(rate=RateLimit(10, per=1, burst=3)))
    await pen.add(*(f"j{n}" for n in range(20)))

    assert len(await pen.fetch(9)) == 3
    assert await pen.fetch(9) == []
    await pen.advance(100)
    assert len(await pen.fetch(9)) == 1
    await pen.advance(250)
    assert len(await pen.fetch(9)) == 2


async def test_a_bucket_that_rested_holds_no_more_than_its_burst(pen: Pen) -> None:
    await pen.engine.queues.register(QUEUE, Limits(rate=RateLimit(10, per=1, burst=3)))
    await pen.add(*(f"j{n}" for n in range(20)))
    await pen.fetch(9)
    await pen.advance(60_000)

    assert len(await pen.fetch(9)) == 3


async def test_who_finds_a_bucket_empty_is_told_until_when(pen: Pen, store: Store) -> None:
    await pen.engine.queues.register(QUEUE, Limits(rate=RateLimit(2, per=1, burst=1)))
    await pen.add("a", "b", "c")
    before = await store.now()
    answer = await pen.exchange(fetch=9)
    after = await store.now()

    assert answer.limited_until is not None
    assert before + 500 <= answer.limited_until <= after + 501


async def test_a_bucket_faster_than_the_clock_lets_through_what_it_should(pen: Pen) -> None:
    await pen.engine.queues.register(QUEUE, Limits(rate=RateLimit(5_000, per=1, burst=100)))
    await pen.add(*(f"j{n}" for n in range(500)))

    assert len(await pen.fetch(500)) == 100
    await pen.advance(10)
    assert 50 <= len(await pen.fetch(500)) <= 55  # the server's clock may go a millisecond on


# Setting them


async def test_a_queue_tells_its_limits(pen: Pen) -> None:
    limits = KeyLimits("tenant", RateLimit(100, per=60, burst=5), 3)
    await pen.engine.queues.register(
        QUEUE, Limits(by_key=limits, rate=RateLimit(9, per=2, burst=4))
    )
    (info,) = await pen.engine.queues.all()

    assert info.by_key == limits
    assert info.rate_limit == RateLimit(9, per=2, burst=4)


async def test_a_window_takes_the_place_of_a_bucket_and_the_other_way_round(pen: Pen) -> None:
    for limit in (RateLimit(9, per=2, burst=4), RateLimit(9, per=2), RateLimit(9, 2, burst=1)):
        await pen.engine.queues.register(QUEUE, Limits(rate=limit))
        (info,) = await pen.engine.queues.all()
        assert info.rate_limit == limit


async def test_limits_by_another_field_are_refused_until_the_first_are_lifted(pen: Pen) -> None:
    await pen.engine.queues.register(QUEUE, Limits(by_key=ONE_AT_A_TIME))
    with pytest.raises(ConflictError, match=r"'tenant'.*'user'"):
        await pen.engine.queues.register(QUEUE, Limits(by_key=KeyLimits("user", concurrency=1)))
    await pen.engine.queues.clear_limits(QUEUE)
    await pen.engine.queues.register(QUEUE, Limits(by_key=KeyLimits("user", concurrency=1)))

    await pen.add("a1", "a2", data='{"user": "a", "tenant": "t"}')
    await pen.add("b1", data='{"user": "b", "tenant": "t"}')
    assert ids(await pen.fetch(9)) == ["a1", "b1"]


async def test_lifting_limits_lets_all_jobs_run_that_they_held_back(pen: Pen) -> None:
    await pen.engine.queues.register(
        QUEUE,
        Limits(
            by_key=KeyLimits("tenant", RateLimit(1, per=60), 1),
            rate=RateLimit(2, per=60),
            concurrency=2,
        ),
    )
    await add_for(pen, "a", "a1", "a2", "a3")
    await add_for(pen, "a", "a4", priority=3)
    assert ids(await pen.fetch(9)) == ["a1"]
    await pen.engine.queues.clear_limits(QUEUE)

    assert ids(await pen.fetch(9)) == ["a2", "a3", "a4"]
    (info,) = await pen.engine.queues.all()
    assert (info.by_key, info.rate_limit, info.concurrency) == (None, None, None)


async def test_limits_of_a_queue_that_is_not_there_cannot_be_lifted(engine: Engine) -> None:
    with pytest.raises(NotFoundError):
        await engine.queues.clear_limits(QUEUE)


async def test_limits_by_key_hold_for_jobs_that_were_there_before(pen: Pen) -> None:
    await add_for(pen, "a", "a1", "a2")
    await add_for(pen, "b", "b1")
    await pen.engine.queues.register(QUEUE, Limits(by_key=ONE_AT_A_TIME))

    assert ids(await pen.fetch(9)) == ["a1", "b1"]


async def test_a_delayed_job_takes_its_keys_turn_once_it_is_due(pen: Pen) -> None:
    await pen.engine.queues.register(QUEUE, Limits(by_key=ONE_AT_A_TIME))
    await add_for(pen, "a", "a1", delay=1)
    await add_for(pen, "a", "a2")
    (lease,) = await pen.fetch(9)
    await pen.advance(1_000)
    assert await pen.fetch(9) == []

    assert ids((await pen.exchange([Complete(lease)], 9)).leases) == ["a1"]


async def test_jobs_in_lanes_are_found_counted_cancelled_and_drained(pen: Pen) -> None:
    await pen.engine.queues.register(QUEUE, Limits(by_key=ONE_AT_A_TIME))
    await add_for(pen, "a", "a1", "a2", "a3", "a4", "a5")
    (lease,) = await pen.fetch(9)
    counts = await pen.engine.queues.counts(QUEUE)
    assert counts[JobState.WAITING] + counts[JobState.PRIORITIZED] == 4
    waiting = [JobState.WAITING, JobState.PRIORITIZED]
    page = await pen.engine.jobs.page(QUEUE, states=waiting)
    assert {job.id for job in page.jobs} == {"a2", "a3", "a4", "a5"}

    assert await pen.engine.jobs.cancel(QUEUE, ["a3"]) == ["a3"]
    await pen.engine.jobs.change(QUEUE, "a5", priority=7)
    assert ids((await pen.exchange([Complete(lease)], 9)).leases) == ["a2"]
    assert await pen.engine.queues.drain(QUEUE) == 2
    assert await pen.fetch(9) == []


async def test_a_queue_with_lanes_that_was_obliterated_leaves_nothing_to_the_next(
    pen: Pen,
) -> None:
    await pen.engine.queues.register(
        QUEUE, Limits(by_key=KeyLimits("tenant", RateLimit(1, per=60), 1))
    )
    await add_for(pen, "a", "a1", "a2")
    await pen.fetch(9)
    await pen.engine.queues.obliterate(QUEUE, force=True)

    await add_for(pen, "a", "a1", "a2", "a3")
    assert ids(await pen.fetch(9)) == ["a1", "a2", "a3"]


@on_shared_stores
async def test_limits_by_key_hold_over_all_processes(pen: Pen, store: Store) -> None:
    elsewhere = Pen(store.engine(), QUEUE, store)
    await elsewhere.engine.queues.register(QUEUE, Limits(by_key=ONE_AT_A_TIME))
    await add_for(pen, "a", "a1", "a2")
    await add_for(pen, "b", "b1")

    assert ids(await pen.fetch(1)) == ["a1"]
    assert ids(await elsewhere.fetch(9)) == ["b1"]
