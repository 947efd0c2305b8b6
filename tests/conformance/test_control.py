"""What people do to jobs: promote, retry, remove, cancel, change."""

from __future__ import annotations

import pytest

from tests.conformance.support import QUEUE, Pen, fail, ids, job, jobs, retry
from toril.engine.contract.hot_path import AddStatus, Note
from toril.errors import ConflictError, NotFoundError
from toril.model.outcome import CANCEL_REASON, ErrorKind
from toril.model.settlement import Complete
from toril.model.state import STORED, JobState

EVERY = (
    "is-waiting",
    "is-prioritized",
    "is-delayed",
    "is-active",
    "is-completed",
    "is-failed",
    "nobody",
)


async def furnish(pen: Pen) -> None:
    """Leave a job in each state that a job gets into without children, named after it."""
    done, broken, _ = await pen.active("is-completed", "is-failed", "is-active")
    await pen.settle(Complete(done, '"result"'), fail(broken))
    await pen.add("is-waiting")
    await pen.add("is-prioritized", priority=1)
    await pen.add("is-delayed", delay=600)


async def states(pen: Pen) -> dict[str, JobState | None]:
    return {name: await pen.state(name) for name in EVERY}


FURNISHED = {
    name: None if name == "nobody" else JobState(name.removeprefix("is-")) for name in EVERY
}


# Promote


async def test_only_delayed_jobs_are_promoted(pen: Pen) -> None:
    await furnish(pen)
    assert await pen.engine.jobs.promote(QUEUE, EVERY) == ["is-delayed"]
    assert await states(pen) == {**FURNISHED, "is-delayed": JobState.WAITING}
    assert (await pen.job("is-delayed")).due_ms is None


async def test_a_promoted_job_goes_behind_those_that_wait(pen: Pen) -> None:
    await pen.add("a", "b", delay=600)
    await pen.add("c")
    assert await pen.engine.jobs.promote(QUEUE, ["b", "a"]) == ["b", "a"]
    assert await pen.order() == ["c", "b", "a"]


async def test_a_promoted_job_keeps_its_priority(pen: Pen) -> None:
    await pen.add("a", delay=600, priority=2)
    await pen.add("b", priority=3)
    await pen.engine.jobs.promote(QUEUE, ["a"])
    assert await pen.counts() == {"prioritized": 2}
    assert await pen.order() == ["a", "b"]


async def test_a_promoted_job_does_not_come_again_when_it_would_have_been_due(pen: Pen) -> None:
    await pen.add("a", delay=1)
    await pen.engine.jobs.promote(QUEUE, ["a"])
    assert await pen.order() == ["a"]
    await pen.advance(1_000)
    assert await pen.order() == []


async def test_an_id_given_twice_is_promoted_once(pen: Pen) -> None:
    await pen.add("a", delay=600)
    assert await pen.engine.jobs.promote(QUEUE, ["a", "a"]) == ["a"]


# Retry


async def test_only_finished_jobs_are_run_again(pen: Pen) -> None:
    await furnish(pen)
    assert sorted(await pen.engine.jobs.retry(QUEUE, EVERY)) == ["is-completed", "is-failed"]
    ready = {"is-completed": JobState.WAITING, "is-failed": JobState.WAITING}
    assert await states(pen) == {**FURNISHED, **ready}


async def test_a_job_runs_again_with_all_its_attempts(pen: Pen) -> None:
    (lease,) = await pen.active("a", attempts=3)
    await pen.settle(retry(lease))
    await pen.settle(fail(await pen.one()))
    assert (await pen.job("a")).attempts_made == 2
    await pen.engine.jobs.retry(QUEUE, ["a"])
    found = await pen.job("a")
    assert (found.attempts_made, found.attempts_started, found.stalls) == (0, 0, 0)
    assert (found.finished_ms, found.started_ms, found.state) == (None, None, JobState.WAITING)
    lease = await pen.one()
    assert (lease.attempts_made, lease.attempts_started) == (0, 1)


async def test_a_job_that_runs_again_has_no_result_and_no_progress(pen: Pen) -> None:
    (lease,) = await pen.active("a")
    await pen.engine.note(QUEUE, [Note(lease, "50")])
    await pen.settle(Complete(lease, '"old"'))
    await pen.engine.jobs.retry(QUEUE, ["a"])
    found = await pen.job("a")
    assert (found.result_json, found.progress_json) == (None, None)
    await pen.settle(Complete(await pen.one(), '"new"'))
    assert (await pen.job("a")).result == "new"


async def test_a_job_that_runs_again_goes_behind_those_that_wait(pen: Pen) -> None:
    await pen.finished("a", "b")
    await pen.add("c")
    assert await pen.engine.jobs.retry(QUEUE, ["b", "a"]) == ["b", "a"]
    assert await pen.order() == ["c", "b", "a"]


async def test_a_job_runs_again_in_its_priority(pen: Pen) -> None:
    await pen.finished("a", priority=4)
    await pen.engine.jobs.retry(QUEUE, ["a"])
    assert await pen.counts() == {"prioritized": 1}


async def test_a_lifo_job_that_runs_again_goes_before_those_that_wait(pen: Pen) -> None:
    await pen.finished("a", "b", lifo=True)
    await pen.finished("c", lifo=True, priority=1)
    await pen.add("d")
    await pen.add("e", priority=1)
    await pen.engine.jobs.retry(QUEUE, ["a", "b", "c"])
    assert await pen.order() == ["b", "a", "d", "e", "c"]


# Remove


async def test_every_job_but_an_active_one_can_be_removed(pen: Pen) -> None:
    await furnish(pen)
    removed = await pen.engine.jobs.remove(QUEUE, EVERY)
    assert sorted(removed) == [
        "is-completed",
        "is-delayed",
        "is-failed",
        "is-prioritized",
        "is-waiting",
    ]
    assert await pen.counts() == {"active": 1}
    assert await states(pen) == {**dict.fromkeys(EVERY), "is-active": JobState.ACTIVE}


async def test_a_removed_job_leaves_nothing_behind(pen: Pen) -> None:
    (lease,) = await pen.active(job("a", tags=["t"]))
    await pen.engine.note(QUEUE, [Note(lease, "1", ["line"])])
    await pen.settle(fail(lease))
    assert await pen.engine.jobs.remove(QUEUE, ["a"]) == ["a"]
    assert await pen.engine.jobs.logs(QUEUE, "a") == []
    assert await pen.engine.jobs.endings(QUEUE, ["a"]) == {}
    assert await pen.listed() == await pen.listed(tag="t") == []
    await pen.add("a")
    found = await pen.job("a")
    assert (found.progress_json, found.errors, found.attempts_made) == (None, (), 0)
    assert await pen.engine.jobs.logs(QUEUE, "a") == []


async def test_removing_twice_removes_once(pen: Pen) -> None:
    await pen.add("a", "b")
    assert await pen.engine.jobs.remove(QUEUE, ["a", "a"]) == ["a"]
    assert await pen.engine.jobs.remove(QUEUE, ["a"]) == []
    assert await pen.order() == ["b"]


async def test_removing_a_job_leaves_its_namesake_in_another_queue(
    pen: Pen, other_pen: Pen
) -> None:
    await pen.add("a")
    await other_pen.add("a")
    await pen.engine.jobs.remove(QUEUE, ["a"])
    assert await other_pen.order() == ["a"]


# Cancel


async def test_jobs_that_wait_fail_and_those_that_run_are_asked_to_stop(pen: Pen) -> None:
    await furnish(pen)
    concerned = await pen.engine.jobs.cancel(QUEUE, EVERY)
    assert sorted(concerned) == ["is-active", "is-delayed", "is-prioritized", "is-waiting"]
    failed = dict.fromkeys(("is-delayed", "is-prioritized", "is-waiting"), JobState.FAILED)
    assert await states(pen) == {**FURNISHED, **failed}
    assert (await pen.job("is-active")).cancel_requested


@pytest.mark.parametrize("args", [{}, {"priority": 2}, {"delay": 600}])
async def test_a_job_cancelled_before_it_ran_says_so(pen: Pen, args: dict[str, int]) -> None:
    await pen.add(job("a", **args))
    await pen.engine.jobs.cancel(QUEUE, ["a"])
    found = await pen.job("a")
    assert found.state is JobState.FAILED
    assert (found.errors[-1].type, found.errors[-1].message) == (ErrorKind.CANCELLED, CANCEL_REASON)
    assert (found.attempts_made, found.attempts_started) == (0, 0)
    assert (found.due_ms, found.started_ms) == (None, None)
    assert found.finished_ms is not None
    ending = (await pen.engine.jobs.endings(QUEUE, ["a"]))["a"]
    assert ending is not None
    assert ending.error is not None
    assert ending.error.type == ErrorKind.CANCELLED


async def test_a_cancelled_job_does_not_run(pen: Pen) -> None:
    await pen.add("a", "b", delay=1)
    await pen.add("c", "d")
    await pen.engine.jobs.cancel(QUEUE, ["a", "c"])
    await pen.advance(1_000)
    assert await pen.order() == ["d", "b"]


async def test_a_cancelled_job_can_be_run_again(pen: Pen) -> None:
    await pen.add("a")
    await pen.engine.jobs.cancel(QUEUE, ["a"])
    assert await pen.engine.jobs.retry(QUEUE, ["a"]) == ["a"]
    lease = await pen.one()
    assert lease.deferred_failure is None
    assert not (await pen.job("a")).cancel_requested


# Change


async def test_the_data_of_a_waiting_job_can_be_changed(pen: Pen) -> None:
    await pen.add(job("a", "1"), job("b", "2"))
    await pen.engine.jobs.change(QUEUE, "a", data='{"new":"🐂"}')
    assert (await pen.job("a")).data == {"new": "🐂"}
    assert [lease.data for lease in await pen.fetch(2)] == ['{"new":"🐂"}', "2"]


async def test_a_running_job_sees_changed_data_at_its_next_attempt(pen: Pen) -> None:
    (lease,) = await pen.active(job("a", "1"))
    await pen.engine.jobs.change(QUEUE, "a", data="2")
    assert lease.data == "1"
    await pen.settle(retry(lease))
    assert (await pen.one()).data == "2"


async def test_a_new_priority_puts_a_job_in_its_new_line(pen: Pen) -> None:
    await pen.add(*jobs("a", "b", priority=2), job("c", priority=1), job("d"))
    await pen.engine.jobs.change(QUEUE, "d", priority=2)
    await pen.engine.jobs.change(QUEUE, "b", priority=1)
    await pen.engine.jobs.change(QUEUE, "a", priority=0)
    assert await pen.counts() == {"waiting": 1, "prioritized": 3}
    assert [(await pen.job(i)).priority for i in "abcd"] == [0, 1, 1, 2]
    assert await pen.order() == ["a", "c", "b", "d"]


async def test_a_delayed_jobs_new_priority_counts_once_it_is_due(pen: Pen) -> None:
    await pen.add("a", delay=1, priority=5)
    await pen.add("b", priority=3)
    await pen.engine.jobs.change(QUEUE, "a", priority=1)
    assert await pen.state("a") is JobState.DELAYED
    await pen.advance(1_000)
    assert await pen.order() == ["a", "b"]


async def test_a_new_delay_counts_from_now(pen: Pen) -> None:
    await pen.add("a", delay=60)
    await pen.advance(500)
    await pen.engine.jobs.change(QUEUE, "a", delay_ms=1_000)
    assert await pen.fetch() == []
    await pen.advance(1_000)
    assert ids(await pen.fetch()) == ["a"]


async def test_a_waiting_job_can_be_delayed(pen: Pen) -> None:
    await pen.add("a", priority=1)
    await pen.add("b")
    await pen.engine.jobs.change(QUEUE, "a", delay_ms=1_000)
    assert await pen.counts() == {"delayed": 1, "waiting": 1}
    assert await pen.order() == ["b"]
    await pen.advance(1_000)
    assert await pen.order() == ["a"]
    assert (await pen.job("a")).priority == 1


async def test_a_delay_of_nothing_makes_a_job_ready(pen: Pen) -> None:
    await pen.add("a", delay=600, priority=3)
    await pen.engine.jobs.change(QUEUE, "a", delay_ms=0)
    found = await pen.job("a")
    assert (found.state, found.due_ms) == (JobState.PRIORITIZED, None)


async def test_several_things_can_be_changed_at_once(pen: Pen) -> None:
    await pen.add(job("a", "1"))
    await pen.engine.jobs.change(QUEUE, "a", priority=4, delay_ms=1_000, data="2")
    found = await pen.job("a")
    assert (found.data, found.priority, found.state) == (2, 4, JobState.DELAYED)


@pytest.mark.parametrize("change", [{"priority": 1}, {"delay_ms": 100}, {"data": "1"}])
@pytest.mark.parametrize("name", ["is-completed", "is-failed"])
async def test_a_finished_job_cannot_be_changed(
    pen: Pen, name: str, change: dict[str, int]
) -> None:
    await furnish(pen)
    before = await pen.job(name)
    with pytest.raises(ConflictError, match=name.removeprefix("is-")):
        await pen.engine.jobs.change(QUEUE, name, **change)
    assert await pen.job(name) == before


@pytest.mark.parametrize("change", [{"priority": 1}, {"delay_ms": 100}, {"delay_ms": 0}])
async def test_of_a_job_that_has_started_only_the_data_can_be_changed(
    pen: Pen, change: dict[str, int]
) -> None:
    await furnish(pen)
    before = await pen.job("is-active")
    with pytest.raises(ConflictError, match="active"):
        await pen.engine.jobs.change(QUEUE, "is-active", data="2", **change)
    assert await pen.job("is-active") == before


async def test_a_job_that_is_not_there_cannot_be_changed(pen: Pen) -> None:
    with pytest.raises(NotFoundError, match="nobody"):
        await pen.engine.jobs.change(QUEUE, "nobody", data="1")


# Clean


@pytest.mark.parametrize("state", sorted(STORED - {JobState.ACTIVE, JobState.WAITING_CHILDREN}))
async def test_each_state_but_active_can_be_cleaned(pen: Pen, state: JobState) -> None:
    await furnish(pen)
    assert await pen.engine.queues.clean(QUEUE, state, 0, 10) == [f"is-{state}"]
    assert await states(pen) == {**FURNISHED, f"is-{state}": None}


@pytest.mark.parametrize("state", [JobState.ACTIVE, JobState.PAUSED, JobState.DEAD])
async def test_active_jobs_and_views_cannot_be_cleaned(pen: Pen, state: JobState) -> None:
    await furnish(pen)
    with pytest.raises(ConflictError, match=state):
        await pen.engine.queues.clean(QUEUE, state, 0, 10)
    assert await states(pen) == FURNISHED


@pytest.mark.parametrize("state", [JobState.COMPLETED, JobState.FAILED])
async def test_finished_jobs_are_cleaned_by_when_they_finished(pen: Pen, state: JobState) -> None:
    leases = await pen.active("c", "a", "b", "d")
    by_id = {lease.id: lease for lease in leases}
    for name in "abcd":
        lease = by_id[name]
        await pen.settle(Complete(lease) if state is JobState.COMPLETED else fail(lease))
        await pen.advance(200)
    assert await pen.engine.queues.clean(QUEUE, state, 500, 10) == ["a", "b"]
    assert sorted(await pen.listed()) == ["c", "d"]
    assert await pen.engine.queues.clean(QUEUE, state, 60_000, 10) == []


async def test_jobs_that_wait_are_cleaned_by_when_they_were_added(pen: Pen) -> None:
    await pen.add("b", "a")
    await pen.add("x", delay=600)
    await pen.advance(1_000)
    await pen.add("c")
    assert await pen.engine.queues.clean(QUEUE, JobState.WAITING, 500, 10) == ["b", "a"]
    assert await pen.counts() == {"waiting": 1, "delayed": 1}


async def test_no_more_are_cleaned_than_was_asked_for_oldest_first(pen: Pen) -> None:
    await pen.finished("a")
    await pen.advance(100)
    await pen.finished("b")
    await pen.advance(100)
    await pen.finished("c")
    assert await pen.engine.queues.clean(QUEUE, JobState.COMPLETED, 0, 2) == ["a", "b"]
    assert await pen.engine.queues.clean(QUEUE, JobState.COMPLETED, 0, 0) == []
    assert await pen.counts() == {"completed": 1}


async def test_many_jobs_are_cleaned_in_one_call(pen: Pen) -> None:
    wanted = [f"j{n:04}" for n in range(2_300)]
    await pen.add(*wanted)
    assert await pen.engine.queues.clean(QUEUE, JobState.WAITING, 0, 2_200) == wanted[:2_200]
    assert await pen.counts() == {"waiting": 100}


async def test_a_cleaned_id_is_free_again(pen: Pen) -> None:
    await pen.finished("a")
    await pen.engine.queues.clean(QUEUE, JobState.COMPLETED, 0, 1)
    (added,) = await pen.add("a")
    assert added.status is AddStatus.CREATED
