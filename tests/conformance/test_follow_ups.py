"""Follow-ups: jobs that are added in the same step as the settlement they come with."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from tests.conformance.support import (
    LEASE_MS,
    OTHER_QUEUE,
    PROMPT,
    QUEUE,
    SETTLEMENTS,
    Pen,
    error,
    ids,
    job,
    retry,
)
from toril.engine.contract.events import EventKind
from toril.engine.contract.hot_path import Refusal
from toril.model.job import Lease, QueueRef
from toril.model.limits import KeyLimits, Limits
from toril.model.options import Deduplication, Keep
from toril.model.settlement import Complete, Fail, FollowUp, follow_up_id
from toril.model.state import JobState

BOTH = pytest.mark.parametrize("queue", [QUEUE, OTHER_QUEUE], ids=["same-queue", "other-queue"])
ENDS = pytest.mark.parametrize("end", ["complete", "fail"])


def ending(lease: Lease, end: str, *then: FollowUp, keep: Keep | None = None) -> Complete | Fail:
    if end == "complete":
        return Complete(lease, '"done"', keep, then)
    return Fail(lease, error(lease), keep, then)


def follow_up(
    queue: QueueRef,
    job_id: str = "next",
    data: str = '{"a":1}',
    *,
    with_errors: bool = False,
    **args: Any,
) -> FollowUp:
    return FollowUp(queue, job(job_id, data, **args), with_errors)


@pytest.fixture
def pens(pen: Pen, other_pen: Pen) -> dict[QueueRef, Pen]:
    return {QUEUE: pen, OTHER_QUEUE: other_pen}


@BOTH
@ENDS
async def test_a_follow_up_is_added_with_its_settlement(
    pens: dict[QueueRef, Pen], queue: QueueRef, end: str
) -> None:
    (lease,) = await pens[QUEUE].active("a")
    tail = await pens[queue].tail()

    assert await pens[QUEUE].settle(ending(lease, end, follow_up(queue))) == [None]

    added = await pens[queue].job("next")
    assert (added.state, added.name, added.data) == (JobState.WAITING, "send", {"a": 1})
    told = [(e.job_id, e.data) for e in await tail.read() if e.kind is EventKind.ADDED]
    assert told == [("next", "send")]


@BOTH
@ENDS
async def test_a_refused_settlement_adds_nothing(
    pens: dict[QueueRef, Pen], queue: QueueRef, end: str
) -> None:
    pen = pens[QUEUE]
    (lease,) = await pen.active("a")
    await pen.advance(LEASE_MS + 1)
    await pen.engine.rescue(QUEUE, 3)
    await pen.one()

    refused = await pen.settle(ending(lease, end, follow_up(queue)))

    assert refused == [Refusal.LEASE_LOST]
    assert await pens[queue].state("next") is None


@ENDS
async def test_the_settlement_of_a_job_that_is_gone_adds_nothing(
    pen: Pen, other_pen: Pen, end: str
) -> None:
    (lease,) = await pen.active("a")
    await pen.settle(Complete(lease, None, Keep(0)))

    assert await pen.settle(ending(lease, end, follow_up(OTHER_QUEUE))) == [Refusal.MISSING]
    assert await other_pen.state("next") is None


async def test_a_settlement_that_is_sent_again_adds_nothing(pen: Pen, other_pen: Pen) -> None:
    (lease,) = await pen.active("a")
    settlement = ending(lease, "fail", follow_up(OTHER_QUEUE))
    await pen.settle(settlement)
    await other_pen.engine.jobs.remove(OTHER_QUEUE, ["next"])

    assert await pen.settle(settlement) == [Refusal.LEASE_LOST]
    assert await other_pen.state("next") is None


async def test_of_two_settlements_for_one_lease_only_the_first_ones_follow_up_is_added(
    pen: Pen, other_pen: Pen
) -> None:
    (lease,) = await pen.active("a")

    answers = await pen.settle(
        ending(lease, "complete", follow_up(OTHER_QUEUE, "first")),
        ending(lease, "complete", follow_up(OTHER_QUEUE, "second")),
    )

    assert answers == [None, Refusal.LEASE_LOST]
    assert await other_pen.listed() == ["first"]


async def test_only_the_accepted_settlements_of_a_batch_add_their_follow_ups(
    pen: Pen, other_pen: Pen
) -> None:
    leases = await pen.active("a", "b", "c")
    await pen.settle(Complete(leases[1]))

    answers = await pen.settle(
        *(ending(one, "complete", follow_up(OTHER_QUEUE, f"after-{one.id}")) for one in leases)
    )

    assert answers == [None, Refusal.LEASE_LOST, None]
    assert await other_pen.order() == ["after-a", "after-c"]


async def test_follow_ups_come_in_the_order_of_their_settlements(pen: Pen, other_pen: Pen) -> None:
    leases = await pen.active("a", "b", "c", "d")
    kinds = ["fail", "complete", "fail", "complete"]

    await pen.settle(
        *(
            ending(lease, kind, *(follow_up(OTHER_QUEUE, f"{lease.id}{n}") for n in (1, 2)))
            for lease, kind in zip(leases, kinds, strict=True)
        )
    )

    assert await other_pen.order() == ["a1", "a2", "b1", "b2", "c1", "c2", "d1", "d2"]


async def test_a_follow_up_in_the_same_queue_is_fetched_by_the_same_exchange(pen: Pen) -> None:
    (lease,) = await pen.active("a")

    answer = await pen.exchange([ending(lease, "complete", follow_up(QUEUE))], 5)

    assert ids(answer.leases) == ["next"]


async def test_a_follow_up_wakes_who_waits_for_its_queue(pen: Pen, other_pen: Pen) -> None:
    (lease,) = await pen.active("a")
    empty = await other_pen.exchange(fetch=1)
    waiting = asyncio.create_task(other_pen.engine.wait(OTHER_QUEUE, None, empty.token))
    await asyncio.sleep(0)

    await pen.settle(ending(lease, "complete", follow_up(OTHER_QUEUE)))

    async with asyncio.timeout(PROMPT):
        await waiting


@BOTH
async def test_a_follow_up_has_all_the_options_of_a_job(
    pens: dict[QueueRef, Pen], queue: QueueRef
) -> None:
    leases = await pens[QUEUE].active("a", "b", "c")
    now = await pens[QUEUE].store.now()

    await pens[QUEUE].settle(
        ending(leases[0], "complete", follow_up(queue, "late", delay=60, tags=["x", "y"])),
        ending(leases[1], "fail", follow_up(queue, "soon", priority=3, metadata={"m": 1})),
        ending(leases[2], "fail", follow_up(queue, "first"), follow_up(queue, "lifo", lifo=True)),
    )

    pen = pens[queue]
    late, soon = await pen.job("late"), await pen.job("soon")
    assert late.state is JobState.DELAYED
    assert late.due_ms is not None
    assert 0 <= late.due_ms - now - 60_000 < 5_000
    assert (soon.state, soon.priority, soon.options.metadata) == (
        JobState.PRIORITIZED,
        3,
        {"m": 1},
    )
    assert await pen.listed(tag="y") == ["late"]
    assert await pen.order() == ["lifo", "first", "soon"]
    assert (await pen.exchange(fetch=1)).next_due == late.due_ms


@BOTH
async def test_a_follow_up_with_an_id_that_is_taken_changes_nothing(
    pens: dict[QueueRef, Pen], queue: QueueRef
) -> None:
    (lease,) = await pens[QUEUE].active("a")
    await pens[queue].add(job("next", '{"old":1}', delay=60))

    assert await pens[QUEUE].settle(ending(lease, "complete", follow_up(queue))) == [None]

    assert (await pens[queue].job("next")).data == {"old": 1}


@BOTH
async def test_a_follow_up_whose_deduplication_key_is_held_is_not_added(
    pens: dict[QueueRef, Pen], queue: QueueRef
) -> None:
    (lease,) = await pens[QUEUE].active("a")
    rule = Deduplication.simple("key")
    await pens[queue].add(job("holder", deduplication=rule, delay=60))

    then = follow_up(queue, deduplication=rule), follow_up(queue, "other")
    assert await pens[QUEUE].settle(ending(lease, "complete", *then)) == [None]

    assert await pens[queue].state("next") is None
    assert await pens[queue].state("other") is JobState.WAITING


@BOTH
async def test_a_follow_up_holds_its_deduplication_key(
    pens: dict[QueueRef, Pen], queue: QueueRef
) -> None:
    (lease,) = await pens[QUEUE].active("a")
    rule = Deduplication.simple("key")

    await pens[QUEUE].settle(ending(lease, "complete", follow_up(queue, deduplication=rule)))

    assert [one.id for one in await pens[queue].add(job("b", deduplication=rule))] == ["next"]


async def test_a_follow_ups_queue_is_visible(pen: Pen) -> None:
    (lease,) = await pen.active("a")
    new = QueueRef(QUEUE.prefix, "new-queue")

    await pen.settle(ending(lease, "complete", follow_up(new)))

    assert new in [info.ref for info in await pen.engine.queues.all()]


async def test_a_follow_up_takes_its_turn_among_the_keys_of_its_queue(
    pen: Pen, other_pen: Pen
) -> None:
    await pen.engine.queues.register(OTHER_QUEUE, Limits(by_key=KeyLimits("tenant")))
    await other_pen.add(*(job(f"a{n}", '{"tenant":"a"}') for n in range(3)))
    (lease,) = await pen.active("x")

    await pen.settle(ending(lease, "complete", follow_up(OTHER_QUEUE, "b0", data='{"tenant":"b"}')))

    assert sorted(ids(await other_pen.fetch(2))) == ["a0", "b0"]


# Errors


async def failed_twice(pen: Pen, **args: Any) -> Lease:
    """Return the lease of a job's third attempt."""
    (lease,) = await pen.active(job("a", attempts=3, **args))
    for _ in range(2):
        await pen.settle(retry(lease))
        lease = await pen.one()
    return lease


@BOTH
@pytest.mark.parametrize("keep", [None, Keep(0), Keep(1)], ids=["kept", "removed", "last"])
async def test_a_follow_up_may_be_given_the_errors_of_all_attempts(
    pens: dict[QueueRef, Pen], queue: QueueRef, keep: Keep | None
) -> None:
    pen = pens[QUEUE]
    lease = await failed_twice(pen)
    then = follow_up(queue, with_errors=True)

    assert await pen.settle(ending(lease, "fail", then, keep=keep)) == [None]

    data = (await pens[queue].job("next")).data
    assert data["a"] == 1
    assert [one["attempt"] for one in data["errors"]] == [1, 2, 3]
    last = data["errors"][-1]
    assert (last["type"], last["message"], last["stack"]) == (
        "ValueError",
        "it did not work",
        "the traceback",
    )
    assert last["started_ms"] == lease.started_ms <= last["ended_ms"]
    assert (await pen.state("a") is None) == (keep == Keep(0))


async def test_a_job_that_succeeds_passes_on_the_errors_before(pen: Pen, other_pen: Pen) -> None:
    lease = await failed_twice(pen)

    await pen.settle(ending(lease, "complete", follow_up(OTHER_QUEUE, with_errors=True)))

    errors = (await other_pen.job("next")).data["errors"]
    assert [one["attempt"] for one in errors] == [1, 2]


async def test_a_job_without_errors_passes_on_none(pen: Pen, other_pen: Pen) -> None:
    (lease,) = await pen.active("a")
    then = follow_up(OTHER_QUEUE, data="{}", with_errors=True)

    await pen.settle(ending(lease, "complete", then))

    assert (await other_pen.job("next")).data == {"errors": []}


async def test_errors_are_passed_on_as_they_were_written(pen: Pen, other_pen: Pen) -> None:
    (lease,) = await pen.active("a")
    wild = 'quotes " and \\ and \n lines, ünïcode, }]'
    settlement = Fail(lease, error(lease, wild), None, (follow_up(OTHER_QUEUE, with_errors=True),))

    await pen.settle(settlement)

    (only,) = (await other_pen.job("next")).data["errors"]
    assert only["message"] == wild


async def test_at_most_25_errors_are_passed_on_the_newest(pen: Pen, other_pen: Pen) -> None:
    (lease,) = await pen.active(job("a", attempts=40))
    for _ in range(29):
        await pen.settle(retry(lease))
        lease = await pen.one()

    await pen.settle(ending(lease, "fail", follow_up(OTHER_QUEUE, with_errors=True)))

    errors = (await other_pen.job("next")).data["errors"]
    assert [one["attempt"] for one in errors] == list(range(6, 31))


# Ids


def test_a_follow_ups_id_is_the_same_for_the_same_lease_and_differs_otherwise(
    lease: Lease,
) -> None:
    again = json.loads(json.dumps(follow_up_id(lease, 1)))

    assert again == follow_up_id(lease, 1)
    assert len({follow_up_id(lease, n) for n in range(100)}) == 100


@pytest.fixture
async def lease(pen: Pen) -> Lease:
    (held,) = await pen.active("a")
    return held


async def test_every_lease_of_a_job_gives_its_follow_ups_other_ids(pen: Pen) -> None:
    first, _ = await pen.active("a", "b")
    await pen.settle(SETTLEMENTS["retry"](first))
    second = await pen.one()

    assert second.id == first.id
    assert follow_up_id(second) != follow_up_id(first)
