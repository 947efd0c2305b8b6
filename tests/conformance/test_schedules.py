"""Schedules: one job at a time, and the next one when that is taken."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.conformance.support import LEASE_MS, Pen, fail, ids, job, on_shared_stores
from toril.engine.contract.schedules import ScheduleInfo
from toril.errors import NotFoundError, ValidationError
from toril.model.job import Lease
from toril.model.job_options import JobOptions
from toril.model.schedule import Schedule
from toril.model.settlement import Complete, Release
from toril.model.state import JobState

EVERY = 10_000


async def make(pen: Pen, schedule_id: str = "s", **rule: Any) -> int:
    """Make a schedule; return when its next job is due."""
    if "cron" not in rule:
        rule.setdefault("every_ms", EVERY)
    return await pen.engine.schedules.upsert(pen.queue, Schedule.of(schedule_id, **rule))


async def info(pen: Pen) -> ScheduleInfo:
    (found,) = await pen.engine.schedules.all(pen.queue)
    return found


async def run(pen: Pen) -> Lease:
    """Take the one job that is ready, and complete it."""
    (lease,) = await pen.fetch(100)
    assert await pen.settle(Complete(lease)) == [None]
    return lease


async def pass_until(pen: Pen, due: int) -> None:
    await pen.advance(max(due - await pen.store.now(), 0))


def due_of(lease: Lease) -> int:
    return int(lease.id.rpartition(":")[2])


# Times


async def test_an_intervals_first_job_is_due_at_once_and_the_others_an_interval_apart(
    pen: Pen,
) -> None:
    first = await make(pen)
    dues = [due_of(await run(pen))]
    for _ in range(3):
        await pen.advance(EVERY)
        dues.append(due_of(await run(pen)))
    assert dues == [first + n * EVERY for n in range(4)]


async def test_an_offset_says_where_the_jobs_of_an_interval_are(pen: Pen) -> None:
    due = await make(pen, offset_ms=2_500)
    assert due % EVERY == 2_500
    assert 0 < due - await pen.store.now() <= EVERY


async def test_a_start_is_when_the_first_job_of_an_interval_is_due(pen: Pen) -> None:
    start = await pen.store.now() + 7_000
    assert await make(pen, start_ms=start) == start
    assert await pen.fetch(1) == []
    await pass_until(pen, start)
    assert due_of(await run(pen)) == start
    found = await info(pen)
    assert (found.next_ms, found.schedule.offset_ms) == (start + EVERY, start % EVERY)


async def test_a_pattern_is_due_by_the_clock_of_its_time_zone(pen: Pen) -> None:
    due = await make(pen, cron="30 9 * * *", tz="Asia/Kolkata")
    at = datetime.fromtimestamp(due / 1000, UTC)
    assert (at.hour, at.minute, at.second) == (4, 0, 0)
    await pass_until(pen, due)
    assert due_of(await run(pen)) == due
    assert (await info(pen)).next_ms == due + 24 * 3600 * 1000


async def test_jobs_that_were_missed_are_left_out(pen: Pen) -> None:
    first = await make(pen)
    await run(pen)
    await pen.advance(5 * EVERY + EVERY // 2)
    assert due_of(await run(pen)) == first + EVERY
    assert (await info(pen)).next_ms == first + 6 * EVERY
    assert await pen.fetch(100) == []


async def test_the_fetch_that_takes_a_job_says_when_the_next_is_due(pen: Pen) -> None:
    first = await make(pen)
    assert (await pen.exchange(fetch=5)).next_due == first + EVERY


# The chain


async def test_the_next_job_is_there_while_the_one_before_runs(pen: Pen) -> None:
    first = await make(pen, name="report", data='{"a":[]}', options=JobOptions.of({"priority": 3}))
    lease = await pen.one()
    assert (lease.name, lease.data, lease.priority) == ("report", '{"a":[]}', 3)
    following = await pen.job(f"repeat:s:{first + EVERY}")
    assert following.state is JobState.DELAYED
    assert (following.name, following.data_json, following.priority) == ("report", '{"a":[]}', 3)
    assert following.due_ms == first + EVERY


async def test_a_job_that_is_taken_twice_makes_one_next_job(pen: Pen) -> None:
    await make(pen)
    lease = await pen.one()
    await pen.settle(Release(lease))
    again = await pen.one()
    assert again.id == lease.id
    assert await pen.counts() == {"active": 1, "delayed": 1}
    assert (await info(pen)).iterations == 2


async def test_a_job_that_is_retried_by_hand_does_not_double_the_chain(pen: Pen) -> None:
    await make(pen)
    lease = await pen.one()
    await pen.settle(fail(lease))
    await pen.engine.jobs.retry(pen.queue, [lease.id])
    assert (await run(pen)).id == lease.id
    assert await pen.counts() == {"completed": 1, "delayed": 1}


async def test_a_schedules_job_is_never_poison(pen: Pen) -> None:
    await make(pen)
    lease = await pen.one()
    for _ in range(3):
        await pen.advance(LEASE_MS)
        (stalled,) = await pen.engine.rescue(pen.queue, 0)
        assert (stalled.id, stalled.poisoned) == (lease.id, False)
        again = await pen.one()
        assert again.deferred_failure is None


@on_shared_stores
async def test_of_two_workers_one_carries_the_schedule_on(pen: Pen) -> None:
    other = Pen(pen.store.engine(), pen.queue, pen.store)
    await make(pen)
    taken = []
    for n in range(6):
        taken += ids(await (pen, other)[n % 2].fetch(10))
        await pen.advance(EVERY)
    assert len(taken) == len(set(taken)) == 6
    assert (await info(other)).iterations == 7


async def test_a_limit_ends_a_schedule(pen: Pen) -> None:
    first = await make(pen, limit=3)
    dues = []
    for _ in range(3):
        dues.append(due_of(await run(pen)))
        await pen.advance(EVERY)
    assert dues == [first, first + EVERY, first + 2 * EVERY]
    assert await pen.counts() == {"completed": 3}
    assert (await info(pen)).next_ms == dues[-1]


async def test_no_job_is_due_after_the_end(pen: Pen) -> None:
    now = await pen.store.now()
    await make(pen, end_ms=now + EVERY + EVERY // 2)
    for _ in range(2):
        await run(pen)
        await pen.advance(EVERY)
    assert await pen.counts() == {"completed": 2}


async def test_the_last_job_of_a_schedule_that_has_ended_can_be_removed(pen: Pen) -> None:
    await make(pen, limit=1)
    lease = await run(pen)
    assert await pen.engine.jobs.remove(pen.queue, [lease.id]) == [lease.id]


# Changing


async def test_an_interval_that_stays_as_it_was_keeps_its_times(pen: Pen) -> None:
    first = await make(pen)
    await run(pen)
    await pen.advance(3_000)
    assert await make(pen, data='{"new":1}') == first + EVERY
    assert await pen.counts() == {"completed": 1, "delayed": 1}
    await pen.advance(EVERY)
    assert (await run(pen)).data == '{"new":1}'


async def test_an_interval_that_is_changed_while_its_job_runs_keeps_one_chain(pen: Pen) -> None:
    await make(pen)
    lease = await pen.one()
    await pen.advance(1_000)
    changed = await make(pen, every_ms=3_000)
    await pen.settle(Complete(lease))
    await pass_until(pen, changed)
    assert due_of(await run(pen)) == changed
    found = await info(pen)
    assert (found.schedule.every_ms, found.next_ms) == (3_000, changed + 3_000)
    assert await pen.counts() == {"completed": 2, "delayed": 1}


async def test_a_pattern_takes_the_place_of_an_interval(pen: Pen) -> None:
    await make(pen)
    due = await make(pen, cron="0 0 1 1 *")
    found = await info(pen)
    assert (found.schedule.cron, found.schedule.every_ms, found.next_ms) == ("0 0 1 1 *", None, due)
    assert await pen.counts() == {"delayed": 1}


async def test_a_change_lets_the_limit_count_anew_and_the_iterations_go_on(pen: Pen) -> None:
    await make(pen, limit=2)
    await run(pen)
    await make(pen, limit=2)
    for _ in range(3):
        await pen.advance(EVERY)
        await pen.settle(*[Complete(lease) for lease in await pen.fetch(10)])
    assert await pen.counts() == {"completed": 3}
    assert (await info(pen)).iterations == 3


async def test_a_time_that_has_a_job_already_is_passed_over(pen: Pen) -> None:
    due = await make(pen, cron="0 0 1 1 *")
    (lease,) = (await pass_until(pen, due), await pen.fetch(1))[1]
    await pen.settle(Complete(lease))
    await pen.engine.schedules.remove(pen.queue, "s")
    first = await make(pen)
    await pen.engine.jobs.promote(pen.queue, [f"repeat:s:{first}"])
    await run(pen)
    await pen.engine.schedules.remove(pen.queue, "s")
    await pen.engine.add(pen.queue, [job(f"repeat:s:{first + EVERY}", delay=3600)])
    await make(pen, start_ms=first + EVERY)
    assert (await info(pen)).next_ms == first + 2 * EVERY


async def test_a_schedule_without_a_job_is_refused_and_changes_nothing(pen: Pen) -> None:
    await make(pen)
    with pytest.raises(ValidationError, match="end_ms"):
        await make(pen, every_ms=5_000, end_ms=await pen.store.now() - 60_000)
    assert (await info(pen)).schedule.every_ms == EVERY
    assert await pen.counts() == {"waiting": 1}


# Removing


async def test_a_removed_schedule_takes_its_next_job_along(pen: Pen) -> None:
    await make(pen)
    await run(pen)
    assert await pen.engine.schedules.remove(pen.queue, "s")
    assert await pen.counts() == {"completed": 1}
    assert await pen.engine.schedules.all(pen.queue) == []
    assert not await pen.engine.schedules.remove(pen.queue, "s")


async def test_a_schedule_that_is_removed_while_its_job_runs_makes_no_further(pen: Pen) -> None:
    await make(pen)
    lease = await pen.one()
    await pen.engine.schedules.remove(pen.queue, "s")
    await pen.settle(Release(lease))
    await run(pen)
    assert await pen.counts() == {"completed": 1}


@pytest.mark.parametrize("is_due", [True, False], ids=["waiting", "delayed"])
async def test_the_job_that_carries_a_schedule_on_stays(pen: Pen, is_due: bool) -> None:
    due = await make(pen, start_ms=None if is_due else await pen.store.now() + 60_000)
    carrier = f"repeat:s:{due}"
    await pen.add("a", "b", "c")
    await pen.add("d", delay=60)
    state = JobState.WAITING if is_due else JobState.DELAYED
    engine, queue = pen.engine, pen.queue
    await pen.advance(10)
    assert await engine.jobs.remove(queue, [carrier, "a"]) == ["a"]
    assert await engine.jobs.cancel(queue, [carrier, "b"]) == ["b"]
    assert carrier not in await engine.queues.clean(queue, state, 0, 100)
    assert await engine.queues.drain(queue, delayed=True) <= 2
    assert await engine.queues.drain(queue, delayed=True) == 0
    assert await pen.listed(states=[state]) == [carrier]


async def test_an_obliterated_queue_has_no_schedules(pen: Pen) -> None:
    await make(pen)
    await pen.engine.queues.obliterate(pen.queue)
    with pytest.raises(NotFoundError):
        await pen.engine.schedules.all(pen.queue)
    await pen.engine.queues.register(pen.queue)
    assert await pen.engine.schedules.all(pen.queue) == []


# Looking


async def test_schedules_are_listed_as_they_were_made_the_next_one_first(pen: Pen) -> None:
    now = await pen.store.now()
    late = Schedule.of(
        "late",
        cron="0 0 1 1 *",
        tz="Europe/Berlin",
        start_ms=now,
        end_ms=now + 10**12,
        limit=5,
        name="yearly",
        data='{"a":1}',
        options=JobOptions.of({"attempts": 3, "tags": ["t"]}),
    )
    soon = Schedule.of("soon", every_ms=60_000, offset_ms=5)
    for one in (late, soon):
        await pen.engine.schedules.upsert(pen.queue, one)
    found = await pen.engine.schedules.all(pen.queue)
    assert [one.schedule for one in found] == [soon, late]
    assert [one.iterations for one in found] == [1, 1]
    assert found[0].next_ms < found[1].next_ms


async def test_queues_have_schedules_of_their_own(pen: Pen, other_pen: Pen) -> None:
    await make(pen)
    assert await other_pen.engine.schedules.all(other_pen.queue) == []
    assert await other_pen.fetch(1) == []
