"""Finished jobs that are past their age, in a queue in which nothing ends any more."""

import pytest

from tests.worker.waiting import until, until_state
from toril import JobState, Keep


async def test_an_idle_worker_removes_what_is_past_its_age(manager, queue, work):
    @queue.task(remove_on_complete=Keep(age=0.05))
    async def end() -> None: ...

    @queue.task
    async def stay() -> None: ...

    kept = await stay.enqueue()
    handles = [await end.options(job_id=f"end-{n}").enqueue() for n in range(3)]
    await work(lease=0.2)
    await until_state(kept, JobState.COMPLETED)

    async def are_gone():
        found = [await manager.get_job("q", handle.id) for handle in handles]
        return found == [None] * 3

    await until(are_gone)
    assert (await kept.job()).state is JobState.COMPLETED
    assert (await end.options(job_id="end-0").enqueue()).created


@pytest.mark.parametrize("cancelled", [True, False])
async def test_an_idle_worker_removes_what_has_failed_too(manager, queue, work, cancelled):
    @queue.task(remove_on_fail=Keep(age=0.05))
    async def fail() -> None:
        raise LookupError

    handle = await fail.options(delay="1h" if cancelled else 0).enqueue()
    if cancelled:
        await handle.cancel()
    await work(lease=0.2)

    async def is_gone():
        return await manager.get_job("q", handle.id) is None

    await until(is_gone)
