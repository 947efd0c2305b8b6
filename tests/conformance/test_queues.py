"""Queues as a whole: listing, draining, obliterating; and the engine itself."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import pytest

from tests.conformance.support import (
    OTHER_QUEUE,
    PREFIX,
    QUEUE,
    Pen,
    Store,
    fail,
    ids,
    job,
    news_of,
    on_shared_stores,
    tail_of,
    window_of,
)
from toril.engine.contract.engine import Engine
from toril.engine.contract.hot_path import AddStatus, Batch, Fetch, Note
from toril.engine.contract.queues import QueueInfo
from toril.errors import ConflictError, EngineError, NotFoundError
from toril.model.job import QueueRef
from toril.model.limits import Limits, RateLimit
from toril.model.options import Deduplication
from toril.model.settlement import Complete
from toril.model.state import JobState

UNKNOWN = QueueRef(PREFIX, "unknown")

Call = Callable[[Engine], Awaitable[object]]


# Listing


async def test_a_new_store_has_no_queues(engine: Engine) -> None:
    assert await engine.queues.all() == []


async def test_registering_makes_a_queue_visible(engine: Engine) -> None:
    await engine.queues.register(QUEUE)
    assert await engine.queues.all() == [QueueInfo(QUEUE)]
    await engine.queues.register(QUEUE)
    assert await engine.queues.all() == [QueueInfo(QUEUE)]


async def test_queues_are_listed_by_prefix_and_name(engine: Engine) -> None:
    refs = [
        QueueRef(*ref) for ref in (("{shop}", "b"), (PREFIX, "z"), ("{shop}", "a"), (PREFIX, "a"))
    ]
    for ref in refs:
        await engine.queues.register(ref)
    assert [info.ref for info in await engine.queues.all()] == sorted(refs)


async def test_a_queue_is_listed_with_what_is_set(pen: Pen) -> None:
    await pen.engine.queues.register(QUEUE, Limits(rate=RateLimit(100, per=2.5), concurrency=7))
    await pen.engine.queues.pause(QUEUE)
    assert await pen.engine.queues.all() == [QueueInfo(QUEUE, True, 7, RateLimit(100, per=2.5))]
    await pen.engine.queues.resume(QUEUE)
    assert not (await pen.engine.queues.all())[0].paused


@on_shared_stores
async def test_a_queue_is_there_for_every_process(pen: Pen, store: Store) -> None:
    await pen.add("a")
    elsewhere = Pen(store.engine(), QUEUE, store)
    assert [info.ref for info in await elsewhere.engine.queues.all()] == [QUEUE]
    assert await elsewhere.counts() == {"waiting": 1}


# Many at once


@pytest.mark.parametrize(
    "prefixes",
    [[PREFIX] * 5, ["{one}", "{two}", "{one}", "{three}", "{two}"]],
    ids=["one-slot", "many-slots"],
)
async def test_many_queues_are_told_of_in_the_order_in_which_they_were_asked_for(
    engine: Engine, store: Store, prefixes: Sequence[str]
) -> None:
    refs = [QueueRef(prefix, f"q{n}") for n, prefix in enumerate(prefixes)]
    for n, ref in enumerate(refs):
        await engine.queues.register(ref, Limits(concurrency=n + 1))
        await Pen(engine, ref, store).finished(*(f"done-{m}" for m in range(n)))
        await Pen(engine, ref, store).add("waits", "waits-too")
    await engine.queues.pause(refs[3])
    asked = [refs[n] for n in (3, 0, 4, 1, 2)]
    found = await engine.queues.overview(asked, 600_000)
    assert [one.info.ref for one in found] == asked
    assert [one.info.concurrency for one in found] == [4, 1, 5, 2, 3]
    assert [one.info.paused for one in found] == [True, False, False, False, False]
    assert [one.counts[JobState.WAITING] for one in found] == [2] * 5
    assert [one.counts[JobState.COMPLETED] for one in found] == [3, 0, 4, 1, 2]
    assert [one.window.completed for one in found] == [3, 0, 4, 1, 2]
    assert {one.window.seconds for one in found} == {600}


async def test_queues_that_do_not_exist_are_left_out_of_an_overview(
    pen: Pen, other_pen: Pen
) -> None:
    asked = [UNKNOWN, OTHER_QUEUE, QueueRef("{elsewhere}", "unknown"), QUEUE, UNKNOWN]
    found = await pen.engine.queues.overview(asked, 60_000)
    assert [one.info.ref for one in found] == [OTHER_QUEUE, QUEUE]
    assert await pen.engine.queues.overview([UNKNOWN], 60_000) == []
    assert await pen.engine.queues.overview([], 60_000) == []


async def test_a_queue_that_is_named_twice_is_told_of_once(pen: Pen) -> None:
    found = await pen.engine.queues.overview([QUEUE, QUEUE], 60_000)
    assert [one.info.ref for one in found] == [QUEUE]


async def test_hundreds_of_queues_fit_into_one_overview(engine: Engine) -> None:
    refs = [QueueRef(PREFIX, f"q{n:03}") for n in range(250)]
    await asyncio.gather(*map(engine.queues.register, refs))
    found = await engine.queues.overview(refs[::-1], 60_000)
    assert [one.info.ref for one in found] == refs[::-1]


# Draining


async def test_draining_removes_what_waits_and_nothing_else(pen: Pen) -> None:
    done, broken, _ = await pen.active("is-completed", "is-failed", "is-active")
    await pen.settle(Complete(done), fail(broken))
    await pen.add("is-waiting")
    await pen.add("is-prioritized", priority=1)
    await pen.add("is-delayed", delay=600)
    assert await pen.engine.queues.drain(QUEUE) == 2
    assert sorted(await pen.listed()) == ["is-active", "is-completed", "is-delayed", "is-failed"]
    assert await pen.engine.queues.drain(QUEUE, delayed=True) == 1
    assert sorted(await pen.listed()) == ["is-active", "is-completed", "is-failed"]
    assert await pen.engine.queues.drain(QUEUE, delayed=True) == 0


async def test_draining_with_the_delayed_takes_both(pen: Pen) -> None:
    await pen.add("a", "b")
    await pen.add("c", delay=600)
    assert await pen.engine.queues.drain(QUEUE, delayed=True) == 3
    assert await pen.counts() == {}


async def test_many_jobs_are_drained_in_one_call(pen: Pen) -> None:
    await pen.add(*(f"j{n}" for n in range(2_300)))
    await pen.add(*(f"d{n}" for n in range(1_200)), delay=600)
    assert await pen.engine.queues.drain(QUEUE, delayed=True) == 3_500
    assert await pen.counts() == {}


async def test_a_drained_queue_takes_jobs_again(pen: Pen) -> None:
    await pen.add("a")
    await pen.engine.queues.drain(QUEUE)
    await pen.add("a")
    assert await pen.order() == ["a"]


async def test_draining_one_queue_leaves_others(pen: Pen, other_pen: Pen) -> None:
    await other_pen.add("a")
    assert await pen.engine.queues.drain(QUEUE, delayed=True) == 0
    assert await other_pen.order() == ["a"]


# Obliterating


async def test_an_obliterated_queue_is_gone_with_all_it_held(pen: Pen, other_pen: Pen) -> None:
    await pen.finished("done")
    await pen.add(job("a", tags=["t"]), job("b", delay=600))
    await other_pen.add("a")
    assert await pen.engine.queues.obliterate(QUEUE) == 3
    assert [info.ref for info in await pen.engine.queues.all()] == [OTHER_QUEUE]
    assert await pen.engine.jobs.get(QUEUE, ["done", "a", "b"]) == [None] * 3
    assert await other_pen.order() == ["a"]


async def test_a_queue_with_active_jobs_is_not_obliterated(pen: Pen) -> None:
    await pen.active("a")
    await pen.add("b")
    with pytest.raises(ConflictError, match="active"):
        await pen.engine.queues.obliterate(QUEUE)
    assert await pen.counts() == {"active": 1, "waiting": 1}


async def test_a_queue_with_active_jobs_is_obliterated_by_force(pen: Pen) -> None:
    await pen.active("a", "b")
    await pen.add("c")
    assert await pen.engine.queues.obliterate(QUEUE, force=True) == 3
    assert await pen.engine.queues.all() == []


async def test_a_large_queue_is_obliterated_in_one_call(pen: Pen) -> None:
    await pen.add(*(f"j{n}" for n in range(2_300)))
    assert await pen.engine.queues.obliterate(QUEUE) == 2_300
    assert await pen.engine.queues.all() == []


async def test_a_queue_is_obliterated_once(pen: Pen) -> None:
    await pen.engine.queues.obliterate(QUEUE)
    with pytest.raises(NotFoundError, match=QUEUE.name):
        await pen.engine.queues.obliterate(QUEUE)


async def test_an_obliterated_queues_successor_knows_nothing_of_it(pen: Pen) -> None:
    rule = Deduplication.throttle(60, "key")
    await pen.engine.queues.register(QUEUE, Limits(rate=RateLimit(1, per=60), concurrency=1))
    await pen.add(job("a", tags=["t"], deduplication=rule), batch=Batch("producer", 7))
    lease = await pen.one()
    await pen.engine.note(QUEUE, [Note(lease, "1", ["line"])])
    await pen.settle(fail(lease))
    await pen.engine.queues.pause(QUEUE)
    await pen.engine.queues.obliterate(QUEUE)

    await pen.engine.queues.register(QUEUE)
    assert await pen.engine.queues.all() == [QueueInfo(QUEUE)]
    assert await pen.counts() == {}
    assert await pen.listed(tag="t") == []
    found = await window_of(pen.engine, QUEUE, 600_000)
    assert (found.completed, found.failed, dict(found.histogram)) == (0, 0, {})
    (added,) = await pen.add(job("a", deduplication=rule), batch=Batch("producer", 7))
    assert added.status is AddStatus.CREATED
    await pen.add("b")
    assert ids(await pen.fetch(9)) == ["a", "b"]
    assert await pen.engine.jobs.logs(QUEUE, "a") == []


async def test_a_queue_that_is_made_after_an_obliterated_one_inherits_nothing(
    pen: Pen, store: Store
) -> None:
    await pen.add(job("a", tags=["t"]))
    await pen.engine.queues.obliterate(QUEUE)
    heir = Pen(pen.engine, UNKNOWN, store)
    await heir.engine.queues.register(UNKNOWN)
    assert await heir.counts() == {}
    assert await heir.listed() == await heir.listed(tag="t") == []
    tail = await heir.tail()
    assert await tail.read() == []


async def test_a_queue_tells_of_itself_what_the_list_tells(pen: Pen) -> None:
    await pen.engine.queues.register(QUEUE, Limits(rate=RateLimit(3, per=2), concurrency=7))
    await pen.engine.queues.pause(QUEUE)
    assert [await pen.engine.queues.info(QUEUE)] == await pen.engine.queues.all()


# Queues that are not there

MAKING: dict[str, Call] = {
    "register": lambda engine: engine.queues.register(UNKNOWN),
    "add": lambda engine: engine.add(UNKNOWN, [job("a")]),
    "add nothing": lambda engine: engine.add(UNKNOWN, []),
    "exchange": lambda engine: engine.exchange(UNKNOWN, [], Fetch(1, "worker", 1_000)),
}

SILENT: dict[str, tuple[Call, object]] = {
    "get": (lambda engine: engine.jobs.get(UNKNOWN, ["a"]), [None]),
    "logs": (lambda engine: engine.jobs.logs(UNKNOWN, "a"), []),
    "endings": (lambda engine: engine.jobs.endings(UNKNOWN, ["a"]), {}),
    "info": (lambda engine: engine.queues.info(UNKNOWN), None),
    "rescue": (lambda engine: engine.rescue(UNKNOWN, 1), []),
    "note": (lambda engine: engine.note(UNKNOWN, []), None),
    "sweep": (lambda engine: engine.queues.sweep(UNKNOWN), 0),
}

REFUSED: dict[str, Call] = {
    "pause": lambda engine: engine.queues.pause(UNKNOWN),
    "resume": lambda engine: engine.queues.resume(UNKNOWN),
    "drain": lambda engine: engine.queues.drain(UNKNOWN),
    "clean": lambda engine: engine.queues.clean(UNKNOWN, JobState.COMPLETED, 0, 1),
    "obliterate": lambda engine: engine.queues.obliterate(UNKNOWN, force=True),
    "counts": lambda engine: engine.queues.counts(UNKNOWN),
    "page": lambda engine: engine.jobs.page(UNKNOWN),
    "promote": lambda engine: engine.jobs.promote(UNKNOWN, ["a"]),
    "retry": lambda engine: engine.jobs.retry(UNKNOWN, ["a"]),
    "remove": lambda engine: engine.jobs.remove(UNKNOWN, ["a"]),
    "cancel": lambda engine: engine.jobs.cancel(UNKNOWN, ["a"]),
    "change": lambda engine: engine.jobs.change(UNKNOWN, "a", data="1"),
}


@pytest.mark.parametrize("call", MAKING.values(), ids=MAKING)
async def test_who_works_with_a_queue_makes_it(engine: Engine, call: Call) -> None:
    await call(engine)
    assert await engine.queues.all() == [QueueInfo(UNKNOWN)]


@pytest.mark.parametrize(("call", "nothing"), SILENT.values(), ids=SILENT)
async def test_who_asks_for_jobs_of_a_queue_that_is_not_there_gets_nothing(
    pen: Pen, call: Call, nothing: object
) -> None:
    assert await call(pen.engine) == nothing
    assert await pen.engine.queues.all() == [QueueInfo(QUEUE)]


async def test_a_queue_that_is_not_there_has_no_events(pen: Pen) -> None:
    cursor = await tail_of(pen.engine, UNKNOWN)
    told, _ = await news_of(pen.engine, UNKNOWN, cursor)
    assert list(told) == []
    assert await pen.engine.queues.all() == [QueueInfo(QUEUE)]


@pytest.mark.parametrize("call", REFUSED.values(), ids=REFUSED)
async def test_a_queue_that_is_not_there_is_neither_looked_at_nor_controlled(
    pen: Pen, call: Call
) -> None:
    with pytest.raises(NotFoundError, match="unknown"):
        await call(pen.engine)
    assert await pen.engine.queues.all() == [QueueInfo(QUEUE)]


# The engine


async def test_the_first_call_opens_the_engine(engine: Engine) -> None:
    assert await engine.queues.all() == []


async def test_an_engine_is_opened_once(engine: Engine) -> None:
    await engine.open()
    await engine.queues.register(QUEUE)
    await engine.open()
    await asyncio.gather(*(engine.open() for _ in range(5)))
    assert await engine.queues.all() == [QueueInfo(QUEUE)]


async def test_an_engine_that_was_never_opened_can_be_closed(engine: Engine) -> None:
    await engine.close()
    await engine.close()


async def test_closing_twice_is_closing_once(engine: Engine) -> None:
    await engine.queues.register(QUEUE)
    await engine.close()
    await engine.close()


async def test_calls_that_are_under_way_are_finished_before_the_engine_closes(pen: Pen) -> None:
    adding = [asyncio.create_task(pen.add(f"j{n}")) for n in range(50)]
    await asyncio.sleep(0)
    await pen.engine.close()
    answers = await asyncio.gather(*adding)
    assert [ids(answer) for answer in answers] == [[f"j{n}"] for n in range(50)]


async def test_a_closed_engine_refuses_calls_until_it_is_opened_again(pen: Pen) -> None:
    await pen.engine.close()
    with pytest.raises(EngineError, match="closed"):
        await pen.engine.queues.all()
    with pytest.raises(EngineError, match="closed"):
        await pen.add("a")
    await pen.engine.open()
    await pen.add("a")
    assert await pen.order() == ["a"]


@on_shared_stores
async def test_what_was_added_survives_the_engine(pen: Pen, store: Store) -> None:
    await pen.add("a", "b")
    lease = await pen.one()
    await pen.engine.close()
    later = Pen(store.engine(), QUEUE, store)
    assert later.engine.capabilities.durable
    assert await later.counts() == {"active": 1, "waiting": 1}
    assert await later.settle(Complete(lease)) == [None]


async def test_an_engine_says_what_it_is_and_where_its_jobs_go(engine: Engine) -> None:
    assert engine.capabilities.name
    assert "://" in engine.location


async def test_a_sound_store_has_no_errors_to_report(pen: Pen) -> None:
    await pen.add("a")
    findings = await pen.engine.examine()
    assert findings
    assert [finding for finding in findings if finding.level == "error"] == []


async def test_a_store_that_loses_jobs_with_the_process_says_so(pen: Pen) -> None:
    findings = await pen.engine.examine()
    durability = {finding.level for finding in findings if finding.check == "durability"}
    assert durability == {"ok" if pen.engine.capabilities.durable else "warning"}
