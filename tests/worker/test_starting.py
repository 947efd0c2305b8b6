"""Attempts that share a task: each has a context of its own, and its end is its own."""

import asyncio
from contextvars import ContextVar

from toril import current_job

seen = ContextVar("seen", default=None)


async def test_what_a_handler_leaves_in_its_context_is_not_there_for_the_next(manager, queue, work):
    found = []

    async def process(job):
        found.append(seen.get())
        seen.set(job.id)
        assert current_job() is job

    manager.register_processor("q", process)
    handles = await manager.add_bulk("q", [{} for _ in range(4)])
    await work(concurrency=4)
    for handle in handles:
        await handle.result(timeout=10)
    assert found == [None] * 4


async def test_a_context_goes_on_after_a_wait(manager, queue, work):
    async def process(job):
        seen.set(job.id)
        await asyncio.sleep(0)
        assert current_job() is job
        return seen.get()

    manager.register_processor("q", process)
    handles = await manager.add_bulk("q", [{} for _ in range(4)])
    await work(concurrency=4)
    assert [await handle.result(timeout=10) for handle in handles] == [h.id for h in handles]


async def test_jobs_start_though_those_before_them_wait(manager, queue, work):
    met = asyncio.Barrier(4)

    async def process(job):
        await met.wait()
        return asyncio.current_task() is not None

    manager.register_processor("q", process)
    handles = await manager.add_bulk("q", [{} for _ in range(4)])
    await work(concurrency=4)
    assert [await handle.result(timeout=10) for handle in handles] == [True] * 4


async def test_a_handler_that_waits_has_a_task_of_its_own(manager, queue, work):
    met, tasks = asyncio.Barrier(4), []

    async def process(job):
        if job.data:
            tasks.append(asyncio.current_task())
            async with asyncio.timeout(10):
                await met.wait()

    manager.register_processor("q", process)
    handles = await manager.add_bulk("q", [{"data": n % 2} for n in range(8)])
    await work(concurrency=8)
    for handle in handles:
        await handle.result(timeout=10)
    assert len(set(tasks)) == 4


async def test_a_handler_that_cancels_its_task_ends_no_other(manager, queue, work):
    async def process(job):
        if job.data == "cancel":
            asyncio.current_task().cancel()
        elif job.data == "wait":
            await asyncio.sleep(0)
        return "done"

    manager.register_processor("q", process)
    kinds = ["cancel", "quick", "cancel", "wait", "quick", "wait"]
    handles = await manager.add_bulk("q", [{"data": kind} for kind in kinds])
    await work(concurrency=6)
    assert [await handle.result(timeout=10) for handle in handles] == ["done"] * 6
