"""What stays of finished jobs."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.conformance.support import Pen, fail, job
from toril.model.job import Lease
from toril.model.options import Keep
from toril.model.settlement import Complete, Settlement
from toril.model.state import JobState

Finish = Callable[[Lease, Keep | None], Settlement]

FINISHES: dict[str, Finish] = {
    "completed": lambda lease, keep: Complete(lease, '"result"', keep),
    "failed": fail,
}

each_end = pytest.mark.parametrize("end", FINISHES)


async def finish(pen: Pen, end: str, keep: Keep | None, *names: str) -> None:
    """Finish jobs one after the other, a little time apart."""
    for lease in await pen.active(*names, lease_ms=60_000):
        assert await pen.settle(FINISHES[end](lease, keep)) == [None]
        await pen.advance(100)


@each_end
async def test_without_a_rule_all_finished_jobs_stay(pen: Pen, end: str) -> None:
    await finish(pen, end, None, *(f"j{n}" for n in range(30)))
    assert await pen.counts() == {end: 30}


@each_end
async def test_a_job_may_be_removed_at_once(pen: Pen, end: str) -> None:
    await finish(pen, end, None, "old")
    await finish(pen, end, Keep(count=0), "a", "b")
    assert await pen.listed() == ["old"]
    assert await pen.counts() == {end: 1}
    assert list(await pen.engine.jobs.endings(pen.queue, ["a", "old"])) == ["old"]


@each_end
async def test_of_a_count_the_newest_stay(pen: Pen, end: str) -> None:
    await finish(pen, end, Keep(count=2), "a", "b", "c", "d")
    assert await pen.listed(states=[JobState(end)]) == ["d", "c"]
    assert await pen.counts() == {end: 2}


@each_end
async def test_a_count_holds_for_jobs_that_finish_in_one_call(pen: Pen, end: str) -> None:
    leases = await pen.active("a", "b", "c", "d", "e")
    keep = Keep(count=2)
    await pen.settle(*(FINISHES[end](lease, keep) for lease in leases))
    assert len(await pen.listed(states=[JobState(end)])) == 2
    assert await pen.counts() == {end: 2}


@each_end
async def test_a_count_of_one_state_leaves_the_other_alone(pen: Pen, end: str) -> None:
    other = "failed" if end == "completed" else "completed"
    await finish(pen, other, None, "x", "y", "z")
    await finish(pen, end, Keep(count=1), "a", "b")
    assert await pen.counts() == {end: 1, other: 3}


@each_end
async def test_a_rule_is_that_of_the_job_that_finishes(pen: Pen, end: str) -> None:
    await finish(pen, end, None, "a", "b", "c")
    assert await pen.counts() == {end: 3}
    await finish(pen, end, Keep(count=2), "d")
    assert await pen.listed(states=[JobState(end)]) == ["d", "c"]


@each_end
async def test_what_is_too_old_goes(pen: Pen, end: str) -> None:
    await finish(pen, end, None, "a", "b")
    await pen.advance(1_500)
    await finish(pen, end, None, "c")
    await finish(pen, end, Keep(age=1), "d")
    assert await pen.listed(states=[JobState(end)]) == ["d", "c"]
    assert await pen.counts() == {end: 2}


@each_end
async def test_age_and_count_hold_together(pen: Pen, end: str) -> None:
    await finish(pen, end, None, "a", "b")
    await pen.advance(1_500)
    await finish(pen, end, None, "c", "d", "e")
    await finish(pen, end, Keep(count=3, age=1), "f")
    assert await pen.listed(states=[JobState(end)]) == ["f", "e", "d"]
    await pen.advance(1_500)
    await finish(pen, end, Keep(count=3, age=1), "g")
    assert await pen.listed(states=[JobState(end)]) == ["g"]


@each_end
async def test_jobs_of_one_call_keep_to_their_own_rules(pen: Pen, end: str) -> None:
    a, b, c, d = await pen.active("a", "b", "c", "d")
    make = FINISHES[end]
    await pen.settle(make(a, None), make(b, Keep(count=0)), make(c, Keep(count=5)), make(d, None))
    assert sorted(await pen.listed()) == ["a", "c", "d"]


@each_end
async def test_a_rule_of_one_queue_leaves_others_alone(pen: Pen, other_pen: Pen, end: str) -> None:
    await finish(other_pen, end, None, "x", "y")
    await finish(pen, end, Keep(count=1), "a", "b")
    assert await other_pen.counts() == {end: 2}


async def test_a_job_that_is_not_kept_leaves_nothing_behind(pen: Pen) -> None:
    (lease,) = await pen.active(job("a", tags=["t"]))
    await pen.settle(Complete(lease, '"result"', Keep(count=0)))
    assert await pen.listed(tag="t") == []
    assert await pen.engine.jobs.logs(pen.queue, "a") == []
    assert await pen.engine.jobs.get(pen.queue, ["a"]) == [None]
    await pen.add(job("a"))
    found = await pen.job("a")
    assert (found.result_json, found.errors, found.tags) == (None, (), ())


async def test_a_job_that_runs_again_is_not_counted_among_the_finished(pen: Pen) -> None:
    await finish(pen, "failed", None, "a", "b")
    await pen.engine.jobs.retry(pen.queue, ["a"])
    again = await pen.one()
    (last,) = await pen.active("c")
    await pen.settle(fail(last, Keep(count=2)))
    assert await pen.listed(states=[JobState.FAILED]) == ["c", "b"]
    assert await pen.settle(Complete(again)) == [None]
