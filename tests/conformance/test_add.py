"""Adding jobs."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from tests.conformance.support import QUEUE, Pen, Result, Store, ids, job, jobs, on_shared_stores
from toril.engine.contract.engine import Engine
from toril.engine.contract.hot_path import AddStatus, Batch
from toril.model.job import QueueRef
from toril.model.options import Backoff, Deduplication, Keep
from toril.model.settlement import Complete
from toril.model.state import JobState

AWKWARD = [
    "{}",
    "null",
    '"text"',
    '{"b":1,"a":2}',
    '{"n":1.0,"m":1e3,"big":9007199254740991}',
    '{"text":"naïve – 東京 – 🐂 – ئۇيغۇر"}',
    '{"escaped":"\\ud83d\\udc02 \\u0000 \\u001f \\" \\\\ \\/ \\n"}',
    '{ "spaces" : [ 1 , 2 ] }',
    '{"sql":"\'; DROP TABLE job; --","json":"[[1,2],{\\"a\\":null}]"}',
    '{"line":"a\\r\\nb\u2028c"}',
]


async def test_an_added_job_is_created_and_keeps_its_id(pen: Pen) -> None:
    assert await pen.add(job("a")) == [Result("a", AddStatus.CREATED)]


async def test_adding_nothing_answers_nothing(pen: Pen) -> None:
    assert await pen.add() == []
    assert await pen.counts() == {}


async def test_adding_makes_the_queue(engine: Engine, store: Store) -> None:
    queue = QueueRef("{shop}", "unheard-of")
    await engine.add(queue, [job("a")])
    assert [info.ref for info in await engine.queues.all()] == [queue]
    assert await Pen(engine, queue, store).counts() == {"waiting": 1}


async def test_a_batch_is_added_in_its_order(pen: Pen) -> None:
    wanted = [f"j{n}" for n in (3, 1, 2, 9, 5)]
    assert ids(await pen.add(*wanted)) == wanted
    assert await pen.order() == wanted


async def test_batches_line_up_in_the_order_of_their_calls(pen: Pen) -> None:
    await pen.add("b", "a")
    await pen.add("d", "c")
    assert await pen.order() == ["b", "a", "d", "c"]


async def test_an_id_that_is_there_is_a_duplicate_and_leaves_the_first_as_it_was(pen: Pen) -> None:
    await pen.add(job("a", '{"n":1}', priority=2, tags=["first"]))
    answer = await pen.add(job("a", '{"n":2}', name="other", priority=1, tags=["second"]))
    assert answer == [Result("a", AddStatus.DUPLICATE)]
    found = await pen.job("a")
    assert (found.data, found.name, found.priority, found.tags) == (
        {"n": 1},
        "send",
        2,
        ("first",),
    )
    assert await pen.listed(tag="second") == []


async def test_of_one_id_twice_in_a_batch_the_first_is_created(pen: Pen) -> None:
    answer = await pen.add(job("a", "1"), job("b", "2"), job("a", "3"), job("c", "4"))
    assert [added.status for added in answer] == [
        AddStatus.CREATED,
        AddStatus.CREATED,
        AddStatus.DUPLICATE,
        AddStatus.CREATED,
    ]
    assert [lease.data for lease in await pen.fetch(9)] == ["1", "2", "4"]


async def test_duplicates_do_not_keep_the_rest_of_a_batch_out(pen: Pen) -> None:
    await pen.add("a", "c")
    answer = await pen.add("a", "b", "c", "d")
    assert [added.status for added in answer] == [
        AddStatus.DUPLICATE,
        AddStatus.CREATED,
        AddStatus.DUPLICATE,
        AddStatus.CREATED,
    ]
    assert await pen.order() == ["a", "c", "b", "d"]


@pytest.mark.parametrize("state", ["active", "delayed", "completed", "failed"])
async def test_an_id_is_a_duplicate_in_whatever_state_its_job_is(pen: Pen, state: str) -> None:
    await pen.add("a", delay=1 if state == "delayed" else 0)
    if state in {"active", "completed"}:
        lease = await pen.one()
        if state == "completed":
            await pen.settle(Complete(lease))
    if state == "failed":
        await pen.engine.jobs.cancel(pen.queue, ["a"])
    assert await pen.state("a") == state
    assert await pen.add("a") == [Result("a", AddStatus.DUPLICATE)]
    assert await pen.counts() == {state: 1}


async def test_the_id_of_a_removed_job_is_free_again(pen: Pen) -> None:
    await pen.add("a")
    await pen.engine.jobs.remove(pen.queue, ["a"])
    assert await pen.add("a") == [Result("a", AddStatus.CREATED)]


async def test_the_same_id_in_another_queue_is_another_job(pen: Pen, other_pen: Pen) -> None:
    await pen.add(job("a", "1"))
    assert await other_pen.add(job("a", "2")) == [Result("a", AddStatus.CREATED)]
    assert (await pen.job("a")).data == 1
    assert (await other_pen.job("a")).data == 2


async def test_queues_of_one_name_under_two_prefixes_are_two(engine: Engine, store: Store) -> None:
    ours = Pen(engine, QueueRef("{shop}", "mail"), store)
    theirs = Pen(engine, QueueRef("{bank}", "mail"), store)
    await ours.add("a")
    await theirs.add("b")
    assert await ours.order() == ["a"]
    assert await theirs.order() == ["b"]


async def test_the_producers_call_of_add_does_not_see_part_of_a_batch(pen: Pen) -> None:
    batch = jobs(*(f"j{n}" for n in range(300)))
    seen: set[int] = set()
    adding = asyncio.create_task(pen.engine.add(pen.queue, batch))
    while not adding.done():
        seen.add(sum((await pen.counts()).values()))
    assert seen <= {0, 300}
    assert await pen.counts() == {"waiting": 300}


@on_shared_stores
async def test_another_process_sees_a_batch_as_a_whole_or_not_at_all(
    pen: Pen, store: Store
) -> None:
    elsewhere = Pen(store.engine(), QUEUE, store)
    batch = jobs(*(f"j{n}" for n in range(300)), tags=["x"])
    seen: set[int] = set()
    adding = asyncio.create_task(pen.engine.add(pen.queue, batch))
    while not adding.done():
        seen.add(len(await elsewhere.listed()))
    assert seen <= {0, 300}
    assert len(await elsewhere.order()) == 300


# A batch that is sent twice


async def test_a_batch_that_is_sent_twice_is_added_once(pen: Pen) -> None:
    batch = Batch("producer", 1)
    await pen.add("a", "b", batch=batch)
    assert await pen.add("a", "b", batch=batch) == [
        Result("a", AddStatus.DUPLICATE),
        Result("b", AddStatus.DUPLICATE),
    ]
    assert await pen.order() == ["a", "b"]


async def test_a_batch_that_is_sent_again_stays_away_even_if_its_jobs_were_removed(
    pen: Pen,
) -> None:
    batch = Batch("producer", 1)
    await pen.add("a", "b", batch=batch)
    await pen.settle(Complete(await pen.one(), keep=Keep(count=0)))
    await pen.engine.jobs.remove(pen.queue, ["b"])
    assert {added.status for added in await pen.add("a", "b", batch=batch)} == {AddStatus.DUPLICATE}
    assert await pen.counts() == {}


async def test_a_producers_next_batch_is_added(pen: Pen) -> None:
    for sequence, name in enumerate("abc", 1):
        (added,) = await pen.add(name, batch=Batch("producer", sequence))
        assert added.status is AddStatus.CREATED
    (added,) = await pen.add("z", batch=Batch("producer", 2))
    assert added.status is AddStatus.DUPLICATE
    assert await pen.order() == ["a", "b", "c"]


async def test_producers_count_their_batches_apart(pen: Pen) -> None:
    await pen.add("a", batch=Batch("one", 5))
    assert await pen.add("b", batch=Batch("two", 1)) == [Result("b", AddStatus.CREATED)]


async def test_queues_count_a_producers_batches_apart(pen: Pen, other_pen: Pen) -> None:
    await pen.add("a", batch=Batch("producer", 5))
    answer = await other_pen.add("a", batch=Batch("producer", 5))
    assert answer == [Result("a", AddStatus.CREATED)]


async def test_a_repeated_batch_names_the_jobs_that_stand_for_its_own(pen: Pen) -> None:
    await pen.add("holder", deduplication=Deduplication.simple("k"))
    batch = [job("a"), job("b", deduplication=Deduplication.simple("k"))]
    first = await pen.add(*batch, batch=Batch("producer", 1))
    again = await pen.add(*batch, batch=Batch("producer", 1))
    assert ids(first) == ["a", "holder"]
    assert ids(again) == ids(first)


# The state a job begins in


@pytest.mark.parametrize(
    ("args", "state"),
    [
        ({}, JobState.WAITING),
        ({"priority": 3}, JobState.PRIORITIZED),
        ({"delay": 1}, JobState.DELAYED),
        ({"delay": 1, "priority": 3}, JobState.DELAYED),
        ({"delay": 0}, JobState.WAITING),
        ({"lifo": True}, JobState.WAITING),
    ],
)
async def test_a_jobs_options_decide_its_first_state(
    pen: Pen, args: dict[str, object], state: JobState
) -> None:
    await pen.add(job("a", **args))
    assert await pen.counts() == {state: 1}
    found = await pen.job("a")
    assert found.state is state
    assert found.priority == args.get("priority", 0)


async def test_a_job_scheduled_for_later_is_delayed_until_then(pen: Pen, store: Store) -> None:
    due_ms = await store.now() + 2_000
    await pen.add(job("later", scheduled_at=due_ms / 1000))
    found = await pen.job("later")
    assert (found.state, found.due_ms) == (JobState.DELAYED, due_ms)


async def test_a_job_scheduled_for_the_past_is_ready(pen: Pen, store: Store) -> None:
    await pen.add(job("past", scheduled_at=(await store.now() - 2_000) / 1000))
    found = await pen.job("past")
    assert (found.state, found.due_ms) == (JobState.WAITING, None)


async def test_a_delayed_job_is_due_its_delay_after_it_was_added(pen: Pen) -> None:
    await pen.add(job("a", delay=1.5))
    found = await pen.job("a")
    assert found.due_ms == found.created_ms + 1_500


async def test_a_job_is_created_at_the_stores_time(pen: Pen, store: Store) -> None:
    before = await store.now()
    await pen.add("a")
    assert before <= (await pen.job("a")).created_ms <= await store.now()


async def test_a_lifo_job_goes_before_those_that_wait(pen: Pen) -> None:
    await pen.add("a", "b")
    await pen.add("c", lifo=True)
    await pen.add("d")
    assert await pen.order() == ["c", "a", "b", "d"]


async def test_lifo_jobs_of_one_batch_run_as_if_they_were_added_one_by_one(pen: Pen) -> None:
    await pen.add("a", "b", "c", lifo=True)
    assert await pen.order() == ["c", "b", "a"]


async def test_a_lifo_job_goes_first_in_its_own_priority(pen: Pen) -> None:
    await pen.add("a1", "b1", priority=1)
    await pen.add("a2", priority=2)
    await pen.add("z2", priority=2, lifo=True)
    assert await pen.order() == ["a1", "b1", "z2", "a2"]


# What is kept of it


@pytest.mark.parametrize("data", AWKWARD)
async def test_data_come_back_byte_for_byte(pen: Pen, data: str) -> None:
    await pen.add(job("a", data))
    assert (await pen.job("a")).data_json == data
    assert (await pen.one()).data == data


async def test_a_big_payload_comes_back_as_it_was(pen: Pen) -> None:
    data = '{"blob":"' + "0123456789abcdé🐂" * 65_536 + '"}'
    await pen.add(job("a", data), job("b", "2"))
    first, second = await pen.fetch(2)
    assert first.data == data
    assert second.data == "2"


@pytest.mark.parametrize(
    "text", ["naïve – 東京 🐂", "a\x00b", "tab\tand\nline", '"quoted" \\ \'', "\u2028", "5", "null"]
)
async def test_ids_names_and_tags_may_be_any_text(pen: Pen, text: str) -> None:
    await pen.add(job(text, name=text, tags=[text]))
    found = await pen.job(text)
    assert (found.id, found.name, found.tags) == (text, text, (text,))
    assert await pen.listed(tag=text) == [text]
    assert await pen.listed(name=text) == [text]
    lease = await pen.one()
    assert (lease.id, lease.name) == (text, text)


async def test_options_come_back_as_they_were(pen: Pen) -> None:
    new = job(
        "a",
        priority=2,
        delay=1,
        attempts=7,
        backoff=Backoff.exponential(2, cap=60, jitter=0.5),
        remove_on_complete=Keep(count=10, age=60),
        remove_on_fail=True,
        timeout=30,
        ttl=600,
        tags=["x", "y"],
        metadata={"tenant": "東京", "n": [1, None]},
        correlation_id="request-1",
        deduplication=Deduplication.throttle(5, "key"),
    )
    await pen.add(new)
    found = await pen.job("a")
    assert found.options == new.options
    await pen.advance(1_000)
    lease = await pen.one()
    assert (lease.options, lease.options_json) == (new.options, new.options_json)


async def test_a_job_is_found_by_each_of_its_tags(pen: Pen) -> None:
    await pen.add(job("a", tags=["red", "big"]), job("b", tags=["red"]), job("c"))
    assert await pen.listed(tag="red") == ["a", "b"]
    assert await pen.listed(tag="big") == ["a"]
    assert await pen.listed(tag="re") == []


async def test_a_large_batch_is_added_in_order(pen: Pen) -> None:
    wanted = [f"j{n:05}" for n in range(5_000)]
    await pen.add(*wanted)
    found: list[str] = []
    while leases := await pen.fetch(999):
        found += ids(leases)
    assert found == wanted


async def test_calls_that_are_made_at_once_are_all_answered_with_their_own(pen: Pen) -> None:
    answers = await asyncio.gather(*(pen.add(f"j{n}", f"k{n}") for n in range(100)))
    assert [ids(answer) for answer in answers] == [[f"j{n}", f"k{n}"] for n in range(100)]
    order = await pen.order()
    assert order == [i for n in range(100) for i in (f"j{n}", f"k{n}")]
    assert all(a < b for a, b in pairwise(order.index(f"j{n}") for n in range(100)))
