"""The latest time: what is accepted can be waited for, and shown."""

from __future__ import annotations

import pytest

from tests.conformance.support import Pen, error, job
from toril.admin.documents import job_document
from toril.errors import ValidationError
from toril.model.durations import LATEST_MS
from toril.model.job import NewJob
from toril.model.job_options import JobOptions, encode_options
from toril.model.options import Backoff
from toril.model.schedule import Schedule
from toril.model.settlement import Release, Retry

FAR = [LATEST_MS, 2**53 - 1]


def unchecked(job_id: str, **fields: int) -> NewJob:
    """Return a job with options that nobody validated."""
    options = JobOptions(**fields)  # type: ignore[arg-type]
    return NewJob(job_id, "send", "{}", options, encode_options(options))


async def is_shown_at_the_latest(pen: Pen, job_id: str) -> None:
    """Check that a job is delayed until the latest time, in each way of looking at it."""
    found = await pen.job(job_id)
    assert found.due_ms == LATEST_MS
    assert found.due_at is not None
    assert job_document(found)["due_at"].startswith("2039-09-07T15:47:35.551")
    assert await pen.listed(states=[found.state]) == [job_id]
    assert (await pen.exchange(fetch=1)).next_due == LATEST_MS


async def test_a_job_can_wait_for_the_latest_time(pen: Pen) -> None:
    await pen.add(job("a", scheduled_at=LATEST_MS / 1000))
    await is_shown_at_the_latest(pen, "a")


@pytest.mark.parametrize("delay_ms", FAR)
async def test_a_delay_that_was_not_checked_ends_at_the_latest_time(
    pen: Pen, delay_ms: int
) -> None:
    await pen.add(unchecked("a", delay_ms=delay_ms))
    await is_shown_at_the_latest(pen, "a")


@pytest.mark.parametrize("time_ms", FAR)
async def test_a_time_that_was_not_checked_is_the_latest_time(pen: Pen, time_ms: int) -> None:
    await pen.add(unchecked("a", scheduled_ms=time_ms))
    await is_shown_at_the_latest(pen, "a")


@pytest.mark.parametrize("delay_ms", FAR)
@pytest.mark.parametrize("how", ["retry", "release", "change"])
async def test_a_computed_delay_ends_at_the_latest_time(pen: Pen, how: str, delay_ms: int) -> None:
    await pen.add("a")
    if how == "change":
        await pen.engine.jobs.change(pen.queue, "a", delay_ms=delay_ms)
    else:
        lease = await pen.one()
        ends = {"retry": Retry(lease, error(lease), delay_ms), "release": Release(lease, delay_ms)}
        assert await pen.settle(ends[how]) == [None]
    await is_shown_at_the_latest(pen, "a")


async def test_a_backoff_that_always_doubles_can_be_waited_for(pen: Pen) -> None:
    backoff = Backoff.exponential(1)
    (lease,) = await pen.active("a")
    delay_ms = backoff.delay_for(10_000)
    assert await pen.settle(Retry(lease, error(lease), delay_ms)) == [None]
    await is_shown_at_the_latest(pen, "a")


async def test_jobs_of_the_latest_time_keep_their_order(pen: Pen) -> None:
    await pen.add("a", "b", "c", scheduled_at=LATEST_MS / 1000)
    await pen.engine.jobs.promote(pen.queue, await pen.listed(limit=2))
    assert await pen.order() == ["a", "b", "c"]


async def test_a_schedule_ends_at_the_latest_time(pen: Pen) -> None:
    rule = Schedule.of("s", every_ms=1_000, start_ms=LATEST_MS)
    assert await pen.engine.schedules.upsert(pen.queue, rule) == LATEST_MS
    await pen.engine.jobs.promote(pen.queue, [f"repeat:s:{LATEST_MS}"])
    await pen.one()
    assert await pen.counts() == {"active": 1}


async def test_a_schedule_that_would_begin_later_is_refused(pen: Pen) -> None:
    with pytest.raises(ValidationError, match=r"start_ms: .*2039-09-07"):
        Schedule.of("s", every_ms=1_000, start_ms=LATEST_MS + 1)
