"""The record of what happened, for those who follow a queue, and its statistics."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence

import pytest

from tests.conformance.support import (
    LEASE_MS,
    PREFIX,
    PROMPT,
    QUEUE,
    Pen,
    Store,
    error,
    fail,
    job,
    news_of,
    retry,
    tail_of,
    window_of,
)
from toril.engine.contract.events import EventKind
from toril.engine.contract.hot_path import Note
from toril.errors import ValidationError
from toril.model.job import QueueRef
from toril.model.options import Deduplication, Keep
from toril.model.outcome import CANCEL_REASON, ErrorKind
from toril.model.settlement import Complete, Fail, Release
from toril.model.state import JobState


async def test_a_completed_jobs_life_is_told_in_order(pen: Pen) -> None:
    tail = await pen.tail()
    (lease,) = await pen.active("a")
    await pen.settle(Complete(lease))
    assert await tail.kinds() == [("added", "a"), ("active", "a"), ("completed", "a")]


async def test_an_added_job_is_told_with_its_name(pen: Pen) -> None:
    tail = await pen.tail()
    await pen.add(job("a", name="mail"), job("b", name="naïve 🐂"))
    assert [(e.job_id, e.data) for e in await tail.read()] == [("a", "mail"), ("b", "naïve 🐂")]


async def test_a_waiting_jobs_cancellation_is_told_with_its_error(pen: Pen) -> None:
    await pen.add("a")
    tail = await pen.tail()
    await pen.engine.jobs.cancel(QUEUE, ["a"])
    (data,) = [event.data for event in await tail.read() if event.kind == "failed"]
    assert json.loads(data or "") == [ErrorKind.CANCELLED, CANCEL_REASON]


async def test_each_job_of_a_batch_has_its_event(pen: Pen) -> None:
    tail = await pen.tail()
    leases = await pen.active("a", "b")
    await pen.settle(*map(Complete, leases))
    assert await tail.kinds() == [
        (kind, name) for kind in ("added", "active", "completed") for name in ("a", "b")
    ]


async def test_a_duplicate_is_not_added(pen: Pen) -> None:
    await pen.add("a")
    tail = await pen.tail()
    await pen.add("a", "b")
    assert await tail.kinds() == [("added", "b")]


async def delayed(pen: Pen) -> None:
    await pen.add("a", delay=1)


async def active(pen: Pen) -> None:
    await pen.active("a")


async def failed(pen: Pen) -> None:
    (lease,) = await pen.active("a")
    await pen.settle(fail(lease))


async def waiting(pen: Pen) -> None:
    await pen.add("a")


async def paused(pen: Pen) -> None:
    await pen.engine.queues.pause(QUEUE)


Step = Callable[[Pen], Awaitable[object]]

STORIES: list[tuple[str, Step, Step, list[tuple[str, str]]]] = [
    ("due", delayed, lambda pen: pen.advance(1_000), [("promoted", "a")]),
    ("promote", delayed, lambda pen: pen.engine.jobs.promote(QUEUE, ["a"]), [("promoted", "a")]),
    ("retry", failed, lambda pen: pen.engine.jobs.retry(QUEUE, ["a"]), [("retried", "a")]),
    ("remove", waiting, lambda pen: pen.engine.jobs.remove(QUEUE, ["a"]), [("removed", "a")]),
    ("drain", waiting, lambda pen: pen.engine.queues.drain(QUEUE), [("removed", "a")]),
    (
        "clean",
        failed,
        lambda pen: pen.engine.queues.clean(QUEUE, JobState.FAILED, 0, 9),
        [("removed", "a")],
    ),
    (
        "change",
        waiting,
        lambda pen: pen.engine.jobs.change(QUEUE, "a", data="1"),
        [("changed", "a")],
    ),
    (
        "cancel-active",
        active,
        lambda pen: pen.engine.jobs.cancel(QUEUE, ["a"]),
        [("cancelled", "a")],
    ),
    ("pause", waiting, lambda pen: pen.engine.queues.pause(QUEUE), [("paused", "")]),
    ("pause-twice", paused, lambda pen: pen.engine.queues.pause(QUEUE), []),
    ("resume", paused, lambda pen: pen.engine.queues.resume(QUEUE), [("resumed", "")]),
    ("resume-twice", waiting, lambda pen: pen.engine.queues.resume(QUEUE), []),
]


@pytest.mark.parametrize(
    ("before", "step", "told"), [story[1:] for story in STORIES], ids=[s[0] for s in STORIES]
)
async def test_each_step_is_told(
    pen: Pen, before: Step, step: Step, told: list[tuple[str, str]]
) -> None:
    await before(pen)
    tail = await pen.tail()
    await step(pen)
    await pen.exchange(fetch=0)
    assert await tail.kinds() == told


async def test_a_waiting_job_that_is_cancelled_has_failed(pen: Pen) -> None:
    await pen.add("a")
    tail = await pen.tail()
    await pen.engine.jobs.cancel(QUEUE, ["a"])
    assert set(await tail.kinds()) == {("cancelled", "a"), ("failed", "a")}


async def test_each_settlement_is_told(pen: Pen) -> None:
    a, b, c, d = await pen.active("a", "b", "c", "d")
    tail = await pen.tail()
    await pen.settle(Complete(a), Fail(b, error(b, "why it failed")), retry(c, 1_000), Release(d))
    told = await tail.read()
    assert [(event.kind, event.job_id) for event in told] == [
        ("completed", "a"),
        ("failed", "b"),
        ("retrying", "c"),
        ("released", "d"),
    ]
    assert [None if event.data is None else json.loads(event.data) for event in told] == [
        None,
        ["ValueError", "why it failed"],
        ["ValueError", "it did not work"],
        None,
    ]


async def test_a_stalled_job_is_told(pen: Pen) -> None:
    await pen.active("a")
    tail = await pen.tail()
    await pen.advance(LEASE_MS)
    await pen.engine.rescue(QUEUE, 5)
    assert await tail.kinds() == [("stalled", "a")]


async def test_progress_is_told_with_its_value(pen: Pen) -> None:
    (lease,) = await pen.active("a")
    tail = await pen.tail()
    await pen.engine.note(QUEUE, [Note(lease, '{"done":1}'), Note(lease, None, ["a line"])])
    assert [(e.kind, e.job_id, e.data) for e in await tail.read()] == [
        ("progress", "a", '{"done":1}')
    ]


@pytest.mark.parametrize("keep", [Keep(count=0), Keep(count=1), Keep(age=60)])
async def test_a_completed_event_carries_the_result_where_the_job_may_not(
    pen: Pen, keep: Keep
) -> None:
    a, b, c = await pen.active("a", "b", "c")
    tail = await pen.tail()
    await pen.settle(Complete(a, '{"sent":1}', keep), Complete(b, None, keep), Complete(c, "3"))
    told = {event.job_id: event.data for event in await tail.read()}
    assert told["a"] == '{"sent":1}'
    assert told["b"] in {None, "null"}
    assert told["c"] in {None, "3"}  # the job itself has it


async def test_a_job_that_another_stands_for_is_told(pen: Pen) -> None:
    await pen.add("a", deduplication=Deduplication.simple("k"))
    tail = await pen.tail()
    await pen.add("b", deduplication=Deduplication.simple("k"))
    assert [(e.kind, e.job_id, e.data) for e in await tail.read()] == [("deduplicated", "a", "b")]


async def test_every_kind_that_is_told_is_named_by_the_contract(pen: Pen) -> None:
    tail = await pen.tail()
    rule = Deduplication.simple("k")
    await pen.add(job("a", deduplication=rule), job("b", deduplication=rule))
    a = await pen.one()
    await pen.settle(fail(a))
    await pen.engine.jobs.retry(QUEUE, ["a"])
    await pen.engine.jobs.change(QUEUE, "a", delay_ms=500)
    await pen.engine.jobs.promote(QUEUE, ["a"])
    await pen.engine.jobs.cancel(QUEUE, ["a"])
    await pen.engine.jobs.remove(QUEUE, ["a"])
    assert {type(event.kind) for event in await tail.read()} == {EventKind}


async def test_an_event_is_dated_by_the_stores_clock(pen: Pen, store: Store) -> None:
    tail = await pen.tail()
    before = await store.now()
    await pen.add("a")
    (event,) = await tail.read()
    assert before <= event.at_ms <= await store.now()


async def test_what_changed_nothing_is_not_told(pen: Pen) -> None:
    await pen.finished("done")
    tail = await pen.tail()
    await pen.engine.jobs.promote(QUEUE, ["done", "nobody"])
    await pen.engine.jobs.retry(QUEUE, ["nobody"])
    await pen.engine.jobs.remove(QUEUE, ["nobody"])
    await pen.engine.jobs.cancel(QUEUE, ["done", "nobody"])
    await pen.engine.queues.drain(QUEUE)
    await pen.exchange(fetch=5)
    assert await tail.read() == []


# The cursor


async def test_a_first_cursor_begins_now_with_nothing(pen: Pen) -> None:
    await pen.add("before")
    cursor = await tail_of(pen.engine, QUEUE)
    assert await pen.engine.events.read({QUEUE: cursor}) == {}
    await pen.add("after")
    told, _ = await news_of(pen.engine, QUEUE, cursor)
    assert [event.job_id for event in told] == ["after"]


async def test_a_cursor_that_is_read_again_tells_the_same(pen: Pen) -> None:
    tail = await pen.tail()
    start = tail.cursor
    await pen.add("a")
    first = await tail.read()
    again, _ = await news_of(pen.engine, QUEUE, start)
    assert list(again) == list(first)
    assert await tail.read() == []


async def test_events_read_in_parts_have_no_gaps_and_no_doubles(pen: Pen) -> None:
    tail = await pen.tail()
    for n in range(40):
        await pen.add(f"j{n}a", f"j{n}b")
    wanted = [event for n in range(40) for event in (f"j{n}a", f"j{n}b")]
    found: list[str] = []
    cursor = tail.cursor
    while True:
        part, cursor = await news_of(pen.engine, QUEUE, cursor, 7)
        if not part:
            break
        assert len(part) < 20
        found += [event.job_id for event in part]
    assert found == wanted


async def test_events_are_those_of_one_queue(pen: Pen, other_pen: Pen) -> None:
    ours, theirs = await pen.tail(), await other_pen.tail()
    await pen.add("a")
    await other_pen.add("b")
    await pen.add("c")
    assert [name for _, name in await ours.kinds()] == ["a", "c"]
    assert [name for _, name in await theirs.kinds()] == ["b"]


async def test_a_queue_can_be_followed_before_it_is_there(pen: Pen, store: Store) -> None:
    late = Pen(pen.engine, QueueRef(PREFIX, "late"), store)
    await pen.add("elsewhere")
    tail = await late.tail()
    await late.add("a")
    assert await tail.kinds() == [("added", "a")]


async def test_a_cursor_of_an_obliterated_queue_goes_on_in_its_successor(pen: Pen) -> None:
    tail = await pen.tail()
    await pen.add("a")
    await tail.read()
    await pen.engine.queues.obliterate(QUEUE)
    await pen.advance(1)
    await pen.add("b")
    assert ("added", "b") in await tail.kinds()


@pytest.mark.parametrize("cursor", ["", "nonsense", "-", "1.5", "9" * 40, "٣"])
async def test_an_event_cursor_that_was_never_given_is_refused(pen: Pen, cursor: str) -> None:
    with pytest.raises(ValidationError, match="cursor"):
        await pen.engine.events.read({QUEUE: cursor})


# Many queues


def several(pen: Pen, store: Store, *prefixes: str) -> list[Pen]:
    """Return queues, one for each prefix."""
    queues = [QueueRef(prefix, f"q{n}") for n, prefix in enumerate(prefixes)]
    return [Pen(pen.engine, queue, store) for queue in queues]


SLOTS = ("{one}", "{two}", "{three}", "{four}")
"""Hash tags whose hash slots lie apart in a cluster."""

each_spread = pytest.mark.parametrize(
    "prefixes", [[PREFIX] * 4, SLOTS], ids=["one-slot", "many-slots"]
)


@each_spread
async def test_the_news_of_many_queues_come_in_one_call_each_with_its_cursor(
    pen: Pen, store: Store, prefixes: Sequence[str]
) -> None:
    pens = several(pen, store, *prefixes)
    cursors = await pen.engine.events.tails([one.queue for one in pens])
    assert list(cursors) == [one.queue for one in pens]
    await pens[0].add("a", "b")
    await pens[2].add("c")
    found = await pen.engine.events.read(cursors)
    told = {queue: [e.job_id for e in news.records] for queue, news in found.items()}
    assert told == {pens[0].queue: ["a", "b"], pens[2].queue: ["c"]}

    cursors |= {queue: news.cursor for queue, news in found.items()}
    assert await pen.engine.events.read(cursors) == {}
    await pens[1].add("d")
    await pens[2].add("e")
    found = await pen.engine.events.read(cursors)
    told = {queue: [e.job_id for e in news.records] for queue, news in found.items()}
    assert told == {pens[1].queue: ["d"], pens[2].queue: ["e"]}


@each_spread
@pytest.mark.parametrize("place", [0, 3])
async def test_a_wait_for_many_queues_ends_with_news_of_any(
    pen: Pen, store: Store, prefixes: Sequence[str], place: int
) -> None:
    pens = several(pen, store, *prefixes)
    cursors = await pen.engine.events.tails([one.queue for one in pens])
    for job_id in ("a", "b"):
        reading = asyncio.create_task(pen.engine.events.read(cursors, timeout=PROMPT * 100))
        await asyncio.sleep(0.02)  # the store has the read by now
        await pens[place].add(job_id)
        async with asyncio.timeout(PROMPT):
            found = await reading
        assert {queue: [e.job_id for e in n.records] for queue, n in found.items()} == {
            pens[place].queue: [job_id]
        }
        cursors |= {queue: news.cursor for queue, news in found.items()}


@each_spread
async def test_a_queue_that_joins_the_cursors_later_is_followed_too(
    pen: Pen, store: Store, prefixes: Sequence[str]
) -> None:
    *first, last = several(pen, store, *prefixes)
    cursors = await pen.engine.events.tails([one.queue for one in first])
    assert await pen.engine.events.read(cursors, timeout=0.02) == {}
    await last.add("before")
    cursors |= await pen.engine.events.tails([last.queue])
    reading = asyncio.create_task(pen.engine.events.read(cursors, timeout=PROMPT * 100))
    await asyncio.sleep(0.02)  # as above
    await last.add("after")
    async with asyncio.timeout(PROMPT):
        found = await reading
    assert {queue: [e.job_id for e in n.records] for queue, n in found.items()} == {
        last.queue: ["after"]
    }
    cursors |= {queue: news.cursor for queue, news in found.items()}
    await first[0].add("first")
    assert list(await pen.engine.events.read(cursors)) == [first[0].queue]


async def test_the_limit_of_a_read_is_that_of_each_queue(pen: Pen, other_pen: Pen) -> None:
    queues = [pen.queue, other_pen.queue]
    cursors = await pen.engine.events.tails(queues)
    for n in range(20):
        await pen.add(f"a{n}")
    await other_pen.add("b")
    found = await pen.engine.events.read(cursors, limit=7)
    assert 0 < len(found[pen.queue].records) < 20
    assert [event.job_id for event in found[other_pen.queue].records] == ["b"]


async def test_of_no_queues_there_is_no_news(pen: Pen) -> None:
    assert await pen.engine.events.tails([]) == {}
    assert await pen.engine.events.read({}) == {}


# Statistics


async def test_statistics_count_what_was_done(pen: Pen) -> None:
    a, b, c, d = await pen.active("a", "b", "c", "d")
    await pen.settle(Complete(a), Complete(b), fail(c), retry(d))
    await pen.fetch(9)
    await pen.advance(LEASE_MS)
    await pen.engine.rescue(QUEUE, 5)
    found = await window_of(pen.engine, QUEUE, 600_000)
    assert found.seconds == 600
    assert (found.completed, found.failed, found.retried, found.stalled) == (2, 1, 1, 1)


async def test_statistics_count_jobs_that_are_not_kept(pen: Pen) -> None:
    a, b = await pen.active("a", "b")
    await pen.settle(Complete(a, keep=Keep(count=0)), fail(b, Keep(count=0)))
    found = await window_of(pen.engine, QUEUE, 600_000)
    assert (found.completed, found.failed) == (1, 1)


async def test_a_cancelled_job_counts_as_failed(pen: Pen) -> None:
    await pen.add("a")
    await pen.engine.jobs.cancel(QUEUE, ["a"])
    assert (await window_of(pen.engine, QUEUE, 600_000)).failed == 1


async def test_a_refused_settlement_counts_nothing(pen: Pen) -> None:
    (lease,) = await pen.active("a")
    await pen.settle(Complete(lease))
    before = await window_of(pen.engine, QUEUE, 600_000)
    await pen.settle(Complete(lease), fail(lease), retry(lease))
    assert await window_of(pen.engine, QUEUE, 600_000) == before


async def test_statistics_add_up_durations(pen: Pen) -> None:
    await pen.add("a", "b")
    a = await pen.one()
    await pen.advance(300)
    b = await pen.one()
    await pen.advance(700)
    await pen.settle(Complete(a), fail(b))
    found = await window_of(pen.engine, QUEUE, 600_000)
    assert found.duration_ms_sum >= 1_700
    assert sum(found.histogram.values()) == 2
    for bucket, duration in zip(sorted(found.histogram), (700, 1_000), strict=False):
        assert bucket >= duration.bit_length()


async def test_statistics_of_queues_are_apart(pen: Pen, other_pen: Pen) -> None:
    await other_pen.finished("a")
    found = await window_of(pen.engine, QUEUE, 600_000)
    assert (found.completed, dict(found.histogram)) == (0, {})
