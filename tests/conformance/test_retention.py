"""What stays of finished jobs."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.conformance.support import Pen, Result, fail, job
from toril.engine.contract.hot_path import AddStatus
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


# Where nothing ends any more


@each_end
async def test_a_sweep_removes_what_is_too_old_and_leaves_the_rest(pen: Pen, end: str) -> None:
    await finish(pen, end, None, "for ever")
    await finish(pen, end, Keep(age=1), "a", "b")
    await finish(pen, end, Keep(age=60), "later")
    assert await pen.engine.queues.sweep(pen.queue) == 0
    await pen.advance(1_000)
    assert await pen.engine.queues.sweep(pen.queue) == 2
    assert sorted(await pen.listed()) == ["for ever", "later"]
    assert await pen.counts() == {end: 2}
    assert await pen.engine.queues.sweep(pen.queue) == 0


@each_end
async def test_the_ids_of_swept_jobs_are_free_again(pen: Pen, end: str) -> None:
    await finish(pen, end, Keep(age=1), "a")
    await pen.advance(1_000)
    await pen.engine.queues.sweep(pen.queue)
    assert await pen.add("a") == [Result("a", AddStatus.CREATED)]
    await pen.engine.queues.sweep(pen.queue)
    assert await pen.counts() == {"waiting": 1}


@each_end
async def test_a_job_that_ran_again_is_kept_as_long_as_its_last_run_says(
    pen: Pen, end: str
) -> None:
    await finish(pen, end, Keep(age=1), "a", "b", "c")
    await pen.engine.jobs.retry(pen.queue, ["a", "b"])
    again = {lease.id: lease for lease in await pen.fetch(2, lease_ms=60_000)}
    await pen.settle(FINISHES[end](again["a"], Keep(age=60)))
    await pen.advance(2_000)
    assert await pen.engine.queues.sweep(pen.queue) == 1
    assert sorted(await pen.listed()) == ["a", "b"]
    await pen.advance(60_000)
    assert await pen.engine.queues.sweep(pen.queue) == 1
    assert await pen.listed() == ["b"]


@each_end
async def test_a_sweep_leaves_alone_what_a_count_or_somebody_removed(pen: Pen, end: str) -> None:
    await finish(pen, end, Keep(count=2, age=1), "a", "b", "c", "d")
    await pen.engine.jobs.remove(pen.queue, ["c"])
    await finish(pen, end, None, "c")
    await pen.advance(1_000)
    assert await pen.engine.queues.sweep(pen.queue) == 1
    assert await pen.listed() == ["c"]


async def test_a_sweep_goes_on_until_nothing_is_left(pen: Pen) -> None:
    leases = [
        lease for lot in "xyz" for lease in await pen.active(*(f"{lot}{n}" for n in range(667)))
    ]
    await pen.settle(*(Complete(lease, keep=Keep(age=1)) for lease in leases))
    await pen.advance(1_000)
    assert await pen.engine.queues.sweep(pen.queue) == 2_001
    assert await pen.counts() == {}


async def test_a_job_that_was_cancelled_before_it_ran_is_swept(pen: Pen) -> None:
    await pen.add(
        job("a", remove_on_fail=Keep(age=1)),
        job("b", remove_on_fail=Keep(count=9)),
        job("c", remove_on_fail=True),
    )
    await pen.engine.jobs.cancel(pen.queue, ["a", "b", "c"])
    await pen.advance(1_000)
    assert await pen.engine.queues.sweep(pen.queue) == 1
    assert sorted(await pen.listed()) == ["b", "c"]


async def test_a_sweep_leaves_other_queues_alone(pen: Pen, other_pen: Pen) -> None:
    await finish(other_pen, "completed", Keep(age=1), "x")
    await finish(pen, "completed", Keep(age=1), "a")
    await pen.advance(1_000)
    await pen.engine.queues.sweep(pen.queue)
    assert await other_pen.counts() == {"completed": 1}


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
