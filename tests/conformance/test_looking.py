"""Looking at jobs: counts, single jobs, listings page by page, logs, endings."""

from __future__ import annotations

import asyncio

import pytest

from tests.conformance.support import (
    OTHER_QUEUE,
    QUEUE,
    Pen,
    Store,
    error,
    fail,
    ids,
    job,
    jobs,
    retry,
)
from toril.engine.contract.hot_path import Note
from toril.engine.contract.jobs import Ending
from toril.engine.contract.rules import KEPT_LINES
from toril.errors import ValidationError
from toril.model.options import Keep
from toril.model.settlement import Complete, Fail, Release
from toril.model.state import STORED, JobState


async def one_in_each_state(pen: Pen) -> dict[JobState, str]:
    """Leave a job in each state that a job gets into without children; return them by state."""
    done, broken, _ = await pen.active("is-completed", "is-failed", "is-active")
    await pen.settle(Complete(done), fail(broken))
    await pen.add("is-waiting")
    await pen.add("is-prioritized", priority=1)
    await pen.add("is-delayed", delay=600)
    return {state: f"is-{state}" for state in STORED - {JobState.WAITING_CHILDREN}}


# Counts


async def test_counts_tell_every_stored_state(pen: Pen) -> None:
    assert await pen.engine.queues.counts(QUEUE) == dict.fromkeys(STORED, 0)


async def test_counts_follow_each_step_of_a_job(pen: Pen) -> None:
    async def are(**wanted: int) -> None:
        assert await pen.counts() == wanted

    await pen.add("a", "b", delay=1)
    await are(delayed=2)
    await pen.engine.jobs.promote(QUEUE, ["a"])
    await are(delayed=1, waiting=1)
    lease = await pen.one()
    await are(delayed=1, active=1)
    await pen.settle(retry(lease))
    await are(delayed=1, waiting=1)
    await pen.engine.jobs.change(QUEUE, "a", priority=3)
    await are(delayed=1, prioritized=1)
    lease = await pen.one()
    await pen.settle(fail(lease))
    await are(delayed=1, failed=1)
    await pen.engine.jobs.retry(QUEUE, ["a"])
    await are(delayed=1, prioritized=1)
    lease = await pen.one()
    await pen.settle(Complete(lease))
    await are(delayed=1, completed=1)
    await pen.engine.jobs.remove(QUEUE, ["a"])
    await are(delayed=1)
    await pen.engine.jobs.cancel(QUEUE, ["b"])
    await are(failed=1)


async def test_counts_are_those_of_the_listings(pen: Pen) -> None:
    leases = await pen.active(*(f"j{n:02}" for n in range(40)))
    await pen.settle(
        *(Complete(lease, keep=Keep(count=3)) for lease in leases[:10]),
        *(fail(lease) for lease in leases[10:15]),
        *(retry(lease, 1_000) for lease in leases[15:20]),
        *(Release(lease) for lease in leases[20:25]),
        *(Complete(lease, keep=Keep(count=0)) for lease in leases[25:30]),
    )
    await pen.add(*jobs("p1", "p2", priority=4), *jobs("j00", "j11", "j39"))
    await pen.engine.queues.clean(QUEUE, JobState.FAILED, 0, 2)
    await pen.engine.jobs.cancel(QUEUE, ["p1", "j21", "j35"])
    counts = await pen.engine.queues.counts(QUEUE)
    for state in STORED:
        assert len(await pen.listed(states=[state])) == counts[state]
    assert len(await pen.listed()) == sum(counts.values())


async def test_counts_are_kept_apart_by_queue(pen: Pen, other_pen: Pen) -> None:
    await pen.add("a", "b")
    await other_pen.add("a")
    assert await pen.counts() == {"waiting": 2}
    assert await other_pen.counts() == {"waiting": 1}


# Single jobs


async def test_jobs_are_returned_in_the_order_of_their_ids(pen: Pen) -> None:
    await pen.add(job("a", "1"), job("b", "2"), job("c", "3"))
    found = await pen.engine.jobs.get(QUEUE, ["c", "nobody", "a", "c"])
    assert [None if one is None else (one.id, one.data) for one in found] == [
        ("c", 3),
        None,
        ("a", 1),
        ("c", 3),
    ]


async def test_asking_for_no_job_returns_none(pen: Pen) -> None:
    assert await pen.engine.jobs.get(QUEUE, []) == []


async def test_a_new_job_is_as_it_was_added(pen: Pen) -> None:
    new = job("a", '{"n":1}', name="mail", priority=2, attempts=3, tags=["x"])
    await pen.add(new)
    found = await pen.job("a")
    assert (found.queue, found.id, found.name) == (QUEUE, "a", "mail")
    assert (found.data, found.options, found.tags) == ({"n": 1}, new.options, ("x",))
    assert (found.state, found.priority) == (JobState.PRIORITIZED, 2)
    assert (found.due_ms, found.started_ms, found.finished_ms) == (None, None, None)
    assert (found.attempts_made, found.attempts_started, found.stalls) == (0, 0, 0)
    assert (found.progress_json, found.result_json, found.errors) == (None, None, ())
    assert (found.worker, found.cancel_requested) == (None, False)


async def test_a_jobs_steps_are_dated_by_the_stores_clock(pen: Pen) -> None:
    await pen.add("a")
    created = (await pen.job("a")).created_ms
    await pen.advance(300)
    lease = await pen.one()
    await pen.advance(400)
    await pen.settle(Complete(lease))
    found = await pen.job("a")
    assert found.created_ms == created
    assert found.started_ms is not None
    assert found.finished_ms is not None
    assert found.started_ms >= created + 300
    assert found.finished_ms >= found.started_ms + 400


# Listings


async def test_each_state_has_its_listing(pen: Pen) -> None:
    by_state = await one_in_each_state(pen)
    for state, wanted in by_state.items():
        page = await pen.engine.jobs.page(QUEUE, states=[state])
        assert [(found.id, found.state) for found in page.jobs] == [(wanted, state)]
        assert page.cursor is None
    assert await pen.listed(states=[JobState.WAITING_CHILDREN]) == []


async def test_a_listing_without_a_state_is_of_all(pen: Pen) -> None:
    by_state = await one_in_each_state(pen)
    assert sorted(await pen.listed()) == sorted(by_state.values())


async def test_a_listing_of_several_states_is_of_just_those(pen: Pen) -> None:
    await one_in_each_state(pen)
    states = [JobState.WAITING, JobState.FAILED, JobState.ACTIVE]
    assert sorted(await pen.listed(states=states)) == ["is-active", "is-failed", "is-waiting"]


async def test_waiting_jobs_are_listed_as_they_will_run(pen: Pen) -> None:
    await pen.add("b", "c", "d")
    await pen.add("a", lifo=True)
    (lease,) = await pen.fetch(1)
    await pen.settle(retry(lease))
    listed = await pen.listed(states=[JobState.WAITING])
    assert listed == ["a", "b", "c", "d"]
    assert await pen.order() == listed


async def test_prioritized_jobs_are_listed_as_they_will_run(pen: Pen) -> None:
    await pen.add("is-waiting")
    await pen.add(job("e", priority=5), job("a", priority=1), job("c", priority=3))
    await pen.add(job("b", priority=1), job("d", priority=3))
    listed = await pen.listed(states=[JobState.PRIORITIZED], limit=2)
    assert listed == ["a", "b", "c", "d", "e"]
    assert await pen.order() == ["is-waiting", *listed]


async def test_delayed_jobs_are_listed_as_they_are_due(pen: Pen) -> None:
    await pen.add(job("c", delay=3), job("a", delay=1), job("b", delay=2))
    assert await pen.listed(states=[JobState.DELAYED]) == ["a", "b", "c"]


async def test_delayed_jobs_due_at_once_are_listed_as_they_will_run(pen: Pen) -> None:
    (lease,) = await pen.active("a")
    await pen.add("b", delay=1)
    await pen.settle(retry(lease, 1_000))
    due = {(await pen.job(i)).due_ms for i in "ab"}
    listed = await pen.listed(states=[JobState.DELAYED])
    await pen.advance(2_000)
    assert await pen.order() == listed
    assert len(due) == 1 or listed == ["b", "a"]


@pytest.mark.parametrize("state", [JobState.COMPLETED, JobState.FAILED])
async def test_finished_jobs_are_listed_last_finished_first(pen: Pen, state: JobState) -> None:
    a, b, c = await pen.active("a", "b", "c")
    for lease in (b, c, a):
        await pen.settle(Complete(lease) if state is JobState.COMPLETED else fail(lease))
        await pen.advance(100)
    assert await pen.listed(states=[state]) == ["a", "c", "b"]


@pytest.mark.parametrize("limit", [1, 3, 7, 20, 21])
@pytest.mark.parametrize("state", sorted(STORED - {JobState.WAITING_CHILDREN}))
async def test_pages_have_no_gaps_and_no_doubles(pen: Pen, state: JobState, limit: int) -> None:
    wanted = [f"j{n:02}" for n in range(20)]
    args: dict[JobState, dict[str, object]] = {
        JobState.PRIORITIZED: {"priority": 2},
        JobState.DELAYED: {"delay": 60},
    }
    await pen.add("other-state-1", delay=0 if state is JobState.DELAYED else 60)
    await pen.add(*wanted, **args.get(state, {}))
    if state in {JobState.ACTIVE, JobState.COMPLETED, JobState.FAILED}:
        leases = await pen.fetch(20)
        if state is JobState.COMPLETED:
            await pen.settle(*map(Complete, leases))
        if state is JobState.FAILED:
            await pen.settle(*map(fail, leases))
    pages = await pen.pages(states=[state], limit=limit)
    found = [i for page in pages for i in ids(page.jobs)]
    assert sorted(found) == wanted
    assert all(len(page.jobs) == limit for page in pages[:-1])
    assert len(pages[-1].jobs) <= limit


@pytest.mark.parametrize("limit", [1, 4, 100])
async def test_pages_through_all_jobs_have_no_gaps_and_no_doubles(pen: Pen, limit: int) -> None:
    by_state = await one_in_each_state(pen)
    await pen.add(*(f"j{n}" for n in range(11)))
    found = await pen.listed(limit=limit)
    assert sorted(found) == sorted([*by_state.values(), *(f"j{n}" for n in range(11))])


async def test_a_page_holds_as_many_jobs_as_were_asked_for(pen: Pen) -> None:
    await pen.add("a", "b", "c")
    page = await pen.engine.jobs.page(QUEUE, states=[JobState.WAITING], limit=2)
    assert ids(page.jobs) == ["a", "b"]
    assert page.cursor is not None
    page = await pen.engine.jobs.page(QUEUE, states=[JobState.WAITING], limit=2, cursor=page.cursor)
    assert ids(page.jobs) == ["c"]
    assert page.cursor is None


async def test_a_listing_goes_on_though_its_jobs_have_gone(pen: Pen) -> None:
    await pen.add("a", "b", "c", "d")
    page = await pen.engine.jobs.page(QUEUE, states=[JobState.WAITING], limit=2)
    await pen.engine.jobs.remove(QUEUE, ["a", "b"])
    page = await pen.engine.jobs.page(QUEUE, states=[JobState.WAITING], limit=2, cursor=page.cursor)
    assert ids(page.jobs) == ["c", "d"]


async def test_a_listing_by_name_passes_over_the_others(pen: Pen) -> None:
    for n in range(30):
        await pen.add(job(f"j{n:02}", name="mail" if n % 7 == 0 else "other"))
    wanted = ["j00", "j07", "j14", "j21", "j28"]
    for limit in (1, 2, 5, 50):
        assert await pen.listed(name="mail", limit=limit) == wanted
        assert await pen.listed(name="mail", states=[JobState.WAITING], limit=limit) == wanted
    assert await pen.listed(name="mai") == []


@pytest.mark.parametrize("limit", [1, 2, 50])
async def test_a_listing_by_tag_passes_over_the_others(pen: Pen, limit: int) -> None:
    for n in range(20):
        await pen.add(job(f"j{n:02}", tags=["even", "all"] if n % 2 == 0 else ["odd", "all"]))
    leases = await pen.fetch(10)
    await pen.settle(*map(Complete, leases))
    evens = [f"j{n:02}" for n in range(0, 20, 2)]
    assert await pen.listed(tag="even", limit=limit) == evens
    waiting = await pen.listed(tag="even", states=[JobState.WAITING], limit=limit)
    assert waiting == evens[5:]
    assert sorted(await pen.listed(tag="all", limit=limit)) == [f"j{n:02}" for n in range(20)]


async def test_a_listing_by_tag_is_in_the_order_in_which_jobs_were_added(pen: Pen) -> None:
    await pen.add(job("b", tags=["t"], priority=2), job("x", priority=1))
    await pen.add(job("c", tags=["t"], priority=1, lifo=True), job("a", tags=["t"], delay=60))
    assert await pen.listed(tag="t") == ["b", "c", "a"]
    assert await pen.listed(tag="t", limit=1) == ["b", "c", "a"]
    assert await pen.listed(tag="t", states=[JobState.PRIORITIZED]) == ["b", "c"]


async def test_name_tag_and_state_hold_together(pen: Pen) -> None:
    await pen.add(
        job("a", name="mail", tags=["t"]),
        job("b", name="other", tags=["t"]),
        job("c", name="mail"),
        job("d", name="mail", tags=["t"], delay=60),
    )
    found = await pen.listed(name="mail", tag="t", states=[JobState.WAITING])
    assert found == ["a"]


async def test_a_listing_is_of_one_queue(pen: Pen, other_pen: Pen) -> None:
    await pen.add(job("a", tags=["t"]))
    await other_pen.add(job("b", tags=["t"]))
    assert await pen.listed() == ["a"]
    assert await pen.listed(tag="t") == ["a"]


async def test_the_views_that_are_not_stored_list_nothing(pen: Pen) -> None:
    await one_in_each_state(pen)
    assert await pen.listed(states=[JobState.PAUSED]) == []
    assert await pen.listed(states=[JobState.DEAD]) == []


BAD_CURSORS = [
    "",
    "nonsense",
    "\ud800",
    "{}",
    "[]",
    "[1]",
    "[1,2,3]",
    "null",
    '["a","b"]',
    '[1,"b"]',
    "[1,{}]",
    "[null,1]",
    "[true,1]",
    "[[1],[2]]",
    "[1e99,1]",
    "[99999999999999999999,1]",
    "[1,99999999999999999999]",
]


@pytest.mark.parametrize("cursor", BAD_CURSORS)
@pytest.mark.parametrize("state", [JobState.WAITING, JobState.DELAYED, JobState.COMPLETED])
async def test_a_cursor_that_no_page_gave_is_refused(
    pen: Pen, cursor: str, state: JobState
) -> None:
    with pytest.raises(ValidationError, match="cursor"):
        await pen.engine.jobs.page(QUEUE, states=[state], cursor=cursor)


async def test_another_listings_cursor_is_refused_or_harmless(pen: Pen) -> None:
    await pen.add("a", "b", "c")
    page = await pen.engine.jobs.page(QUEUE, limit=1)
    with pytest.raises(ValidationError, match="cursor"):
        await pen.engine.jobs.page(QUEUE, states=[JobState.WAITING], cursor=page.cursor)


# Progress and logs


async def test_notes_of_a_running_job_are_stored(pen: Pen) -> None:
    (lease,) = await pen.active("a")
    await pen.engine.note(QUEUE, [Note(lease, '{"done":1}', ["one", "two"])])
    await pen.engine.note(QUEUE, [Note(lease, None, ["three"])])
    assert (await pen.job("a")).progress == {"done": 1}
    assert await pen.engine.jobs.logs(QUEUE, "a") == ["one", "two", "three"]


async def test_the_latest_progress_counts(pen: Pen) -> None:
    (lease,) = await pen.active("a")
    await pen.engine.note(QUEUE, [Note(lease, "10"), Note(lease, "20")])
    assert (await pen.job("a")).progress == 20
    await pen.engine.note(QUEUE, [Note(lease, "30"), Note(lease, None, ["line"])])
    assert (await pen.job("a")).progress == 30


async def test_notes_of_several_jobs_go_to_their_own(pen: Pen) -> None:
    a, b = await pen.active("a", "b")
    notes = [Note(a, "1", ["a1"]), Note(b, "2", ["b1"]), Note(a, None, ["a2"])]
    await pen.engine.note(QUEUE, notes)
    assert await pen.engine.jobs.logs(QUEUE, "a") == ["a1", "a2"]
    assert await pen.engine.jobs.logs(QUEUE, "b") == ["b1"]
    assert [(await pen.job(i)).progress for i in "ab"] == [1, 2]


async def test_notes_without_a_lease_are_dropped(pen: Pen) -> None:
    old, other = await pen.active("a", "b")
    await pen.settle(Release(old))
    new = await pen.one()
    await pen.engine.note(QUEUE, [Note(old, "1", ["lost"]), Note(other, "2", ["kept"])])
    assert (await pen.job("a")).progress is None
    assert await pen.engine.jobs.logs(QUEUE, "a") == []
    assert await pen.engine.jobs.logs(QUEUE, "b") == ["kept"]
    await pen.engine.note(QUEUE, [Note(new, "3", ["kept"])])
    assert (await pen.job("a")).progress == 3


async def test_notes_to_a_queue_that_is_not_there_are_dropped(pen: Pen) -> None:
    (lease,) = await pen.active("a")
    await pen.engine.queues.obliterate(QUEUE, force=True)
    await pen.engine.note(QUEUE, [Note(lease, "1", ["lost"])])


async def test_progress_and_log_outlast_the_attempt(pen: Pen) -> None:
    (lease,) = await pen.active("a")
    await pen.engine.note(QUEUE, [Note(lease, "50", ["first attempt"])])
    await pen.settle(retry(lease))
    lease = await pen.one()
    await pen.engine.note(QUEUE, [Note(lease, None, ["second attempt"])])
    await pen.settle(Complete(lease))
    assert (await pen.job("a")).progress == 50
    assert await pen.engine.jobs.logs(QUEUE, "a") == ["first attempt", "second attempt"]


async def test_a_log_is_read_from_a_line_on_and_no_further_than_asked(pen: Pen) -> None:
    (lease,) = await pen.active("a")
    lines = [f"line {n}" for n in range(50)]
    await pen.engine.note(QUEUE, [Note(lease, None, lines[:20]), Note(lease, None, lines[20:])])
    assert await pen.engine.jobs.logs(QUEUE, "a") == lines
    assert await pen.engine.jobs.logs(QUEUE, "a", start=10, limit=5) == lines[10:15]
    assert await pen.engine.jobs.logs(QUEUE, "a", start=48) == lines[48:]
    assert await pen.engine.jobs.logs(QUEUE, "a", start=50) == []


@pytest.mark.parametrize(
    "line", ["", "naïve 🐂 東京", "two\nlines", "nul \x00 inside", "[1]", "null"]
)
async def test_a_log_line_may_be_any_text(pen: Pen, line: str) -> None:
    (lease,) = await pen.active("a")
    await pen.engine.note(QUEUE, [Note(lease, None, [line])])
    assert await pen.engine.jobs.logs(QUEUE, "a") == [line]


async def test_the_log_of_a_job_that_is_not_there_is_empty(pen: Pen) -> None:
    assert await pen.engine.jobs.logs(QUEUE, "nobody") == []


# Endings


async def test_endings_tell_how_jobs_ended_and_which_go_on(pen: Pen) -> None:
    done, broken, _ = await pen.active("done", "broken", "running")
    await pen.settle(Complete(done, '"result"'), Fail(broken, error(broken, "why")))
    await pen.add("is-waiting")
    wanted = ["done", "broken", "running", "is-waiting", "nobody"]
    found = await pen.engine.jobs.endings(QUEUE, wanted)
    assert set(found) == {"done", "broken", "running", "is-waiting"}
    assert found["done"] == Ending(JobState.COMPLETED, '"result"', None)
    assert found["running"] is None
    assert found["is-waiting"] is None
    ending = found["broken"]
    assert ending is not None
    assert ending.state is JobState.FAILED
    assert ending.error is not None
    assert (ending.error.type, ending.error.message) == ("ValueError", "why")


async def test_a_job_that_runs_again_has_not_ended(pen: Pen) -> None:
    await pen.finished("a")
    await pen.engine.jobs.retry(QUEUE, ["a"])
    assert await pen.engine.jobs.endings(QUEUE, ["a"]) == {"a": None}


async def test_a_job_that_completes_in_its_second_life_has_no_error_for_an_ending(
    pen: Pen,
) -> None:
    (lease,) = await pen.active("a")
    await pen.settle(fail(lease))
    await pen.engine.jobs.retry(QUEUE, ["a"])
    await pen.settle(Complete(await pen.one(), "1"))
    assert await pen.engine.jobs.endings(QUEUE, ["a"]) == {
        "a": Ending(JobState.COMPLETED, "1", None)
    }


async def test_looking_changes_nothing(pen: Pen, store: Store) -> None:
    by_state = await one_in_each_state(pen)
    other = Pen(pen.engine, OTHER_QUEUE, store)
    tail = await pen.tail()
    before = await pen.counts()
    await asyncio.gather(
        pen.engine.jobs.get(QUEUE, list(by_state.values())),
        pen.listed(),
        pen.engine.jobs.logs(QUEUE, "is-waiting"),
        pen.engine.jobs.endings(QUEUE, ["is-failed"]),
        pen.engine.queues.overview([QUEUE], 60_000),
        pen.engine.events.read({QUEUE: tail.cursor}),
        other.engine.jobs.get(OTHER_QUEUE, ["a"]),
    )
    assert await tail.read() == []
    assert await pen.counts() == before
    assert [info.ref for info in await pen.engine.queues.all()] == [QUEUE]


async def test_a_log_keeps_its_newest_lines(pen: Pen) -> None:
    a, b = await pen.active("a", "b")
    await pen.engine.note(QUEUE, [Note(b, lines=["of another"])])
    for first in range(0, KEPT_LINES + 100, 2_525):
        lines = [str(number) for number in range(first, first + 2_525)]
        await pen.engine.note(QUEUE, [Note(a, lines=lines), Note(b, lines=["more"])])
    found = await pen.engine.jobs.logs(QUEUE, "a", limit=2 * KEPT_LINES)
    assert found == [str(number) for number in range(100, KEPT_LINES + 100)]
    assert await pen.engine.jobs.logs(QUEUE, "b") == ["of another", *["more"] * 4]
