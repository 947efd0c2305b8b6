"""Who holds a job: leases that are kept, and leases that are lost."""

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
import time

import pytest

from tests.conformance.support import news_of, tail_of
from tests.worker.kinds import as_task
from tests.worker.waiting import failure_of, lines_of, until, until_state
from toril import JobCompleted, JobFailed, JobStalled, JobState, LeaseLost
from toril.engine.contract.hot_path import Fetch


async def die(engine, queue, n=1):
    """Take jobs as a worker does, and never be heard of again; wait until the leases are over."""
    answer = await engine.exchange(queue.ref, (), Fetch(n, f"dead-{time.monotonic_ns()}", 1))
    await asyncio.sleep(0.005)
    return answer.leases


async def test_a_handler_that_blocks_the_loop_for_three_leases_keeps_its_own(manager, queue, work):
    lost, runs = [], []
    manager.on(LeaseLost, lost.append)
    manager.on(JobStalled, lost.append)

    @queue.task
    async def block() -> str:
        runs.append(1)
        time.sleep(0.9)  # noqa: ASYNC251 - this is what handlers do
        return "done"

    await work(lease=0.3)
    handle = await block.enqueue()

    assert await handle.result(10) == "done"
    job = await handle.job()
    assert (runs, lost, job.stalls, job.attempts_started) == ([1], [], 0, 1)


async def test_no_other_worker_takes_the_job_of_a_handler_that_blocks(another, settings):
    """The other worker has a loop of its own, which is free to look for lost jobs."""
    blocked, free = another(), another()
    runs, stalled, begun = [], [], asyncio.Event()
    loop = asyncio.get_running_loop()
    free.on(JobStalled, stalled.append)

    async def block(job):
        runs.append("blocked")
        loop.call_soon_threadsafe(begun.set)
        time.sleep(0.9)  # noqa: ASYNC251
        return "in its own time"

    async def take(job):
        runs.append("taken")
        return "taken away"

    blocked.register_processor("q", block)
    free.register_processor("q", take)
    await asyncio.to_thread(blocked.sync.start_workers, settings=settings(lease=0.3))
    handle = await free.add_job("q")
    await begun.wait()
    await free.start_workers(settings=settings(lease=0.3))

    assert await handle.result(10) == "in its own time"
    assert (runs, stalled, (await handle.job()).stalls) == (["blocked"], [], 0)
    await asyncio.to_thread(blocked.sync.close)


def hold_the_interpreter(seconds):
    """Let no thread of this process run for a time, as a C extension may."""
    ctypes.PyDLL(None).usleep(int(seconds * 1_000_000))


@pytest.mark.parametrize("kind", ["async", "thread"])
async def test_a_job_that_holds_the_interpreter_longer_than_its_lease_goes_on(
    manager, queue, work, kind
):
    lost, runs, completed = [], [], []
    manager.on(LeaseLost, lost.append)
    manager.on(JobStalled, lost.append)
    manager.on(JobCompleted, completed.append)

    def hold() -> str:
        runs.append(1)
        for _ in range(3):
            hold_the_interpreter(0.3)
        return "done"

    task = as_task(queue, hold, kind)
    await work(lease=0.2)
    handles = await queue.add_jobs([task.job() for _ in range(2)])

    # Heard, not asked for: a new connection may time out while the interpreter is held.
    await until(lambda: len(completed) == 2)
    jobs = [await handle.job() for handle in handles]
    assert (len(runs), lost) == (2, [])
    assert [(job.stalls, job.attempts_started) for job in jobs] == [(0, 1)] * 2


async def test_other_workers_of_the_process_do_not_take_such_a_job_either(another, settings):
    workers = [another() for _ in range(3)]
    runs, stalled = [], []

    async def hold(job):
        runs.append(1)
        for _ in range(3):
            hold_the_interpreter(0.3)
            await asyncio.sleep(0)
        return "done"

    for manager in workers:
        manager.register_processor("q", hold)
        manager.on(JobStalled, stalled.append)
        await manager.start_workers(settings=settings(lease=0.2))
    handle = await workers[0].add_job("q")

    assert await handle.result(20) == "done"
    assert (len(runs), stalled) == (1, [])


async def test_a_long_job_outlives_many_leases(manager, queue, work):
    @queue.task
    async def long() -> str:
        await asyncio.sleep(0.5)
        return "done"

    await work(lease=0.15)
    handle = await long.enqueue()

    assert await handle.result(10) == "done"
    assert (await handle.job()).attempts_started == 1


# Stalls


async def test_a_job_whose_worker_died_runs_again_and_has_used_up_no_attempt(manager, queue, work):
    stalled = []
    manager.on(JobStalled, stalled.append)

    @queue.task
    async def task(x: int) -> int:
        return x

    await manager.open()
    handle = await task.enqueue(5)
    await die(manager.engine, queue)
    await work(lease=0.3)

    assert await handle.result(10) == 5
    job = await handle.job()
    assert (job.stalls, job.attempts_made, job.attempts_started) == (1, 1, 2)
    assert [(e.job_id, e.poisoned) for e in stalled] == [(handle.id, False)]


async def test_a_job_that_stalls_too_often_fails_without_running(manager, queue, work):
    runs, failed = [], []
    manager.on(JobFailed, failed.append)

    @queue.task(attempts=5)
    async def task() -> None:
        runs.append(1)

    await manager.open()
    handle = await task.enqueue()
    for _ in range(3):
        await die(manager.engine, queue)
        await manager.engine.rescue(queue.ref, 2)
    await work()

    error = await failure_of(handle)

    assert (error.error_type, error.reason) == (
        "Stalled",
        "job stalled more than allowable limit",
    )
    assert runs == []
    assert (await handle.job()).stalls == 3
    await until(lambda: [e.lease.id for e in failed] == [handle.id])


@pytest.mark.parametrize("max_stalls", [0, 1, 3])
async def test_how_often_a_job_may_stall_is_the_workers_setting(manager, queue, work, max_stalls):
    poisoned = []
    manager.on(JobStalled, lambda event: poisoned.append(event.poisoned))

    @queue.task
    async def task() -> str:
        return "ran"

    await manager.open()
    handle = await task.enqueue()
    for _ in range(max_stalls):
        await die(manager.engine, queue)
        await manager.engine.rescue(queue.ref, max_stalls)
    await die(manager.engine, queue)
    await work(lease=0.3, max_stalls=max_stalls)

    assert (await failure_of(handle)).error_type == "Stalled"
    assert poisoned == [True]


async def test_what_stalled_as_often_as_it_may_still_runs(manager, queue, work):
    @queue.task
    async def task() -> str:
        return "ran"

    await manager.open()
    handles = [await task.enqueue() for _ in range(2)]
    for _ in range(2):
        await die(manager.engine, queue, 2)
        await manager.engine.rescue(queue.ref, 2)
    await work(max_stalls=2)

    assert [await handle.result(10) for handle in handles] == ["ran"] * 2
    assert {(await handle.job()).stalls for handle in handles} == {2}


async def test_a_poisoned_job_that_is_run_again_starts_afresh(manager, queue, work):
    @queue.task
    async def task() -> str:
        return "ran"

    await manager.open()
    handle = await task.enqueue()
    await die(manager.engine, queue)
    await manager.engine.rescue(queue.ref, 0)
    await work()
    await failure_of(handle)

    await handle.retry()

    assert await handle.result(10) == "ran"


async def test_a_stalled_job_goes_before_those_that_wait(manager, queue):
    ran = []

    async def process(job):
        ran.append(job.data)

    manager.register_processor("q", process)
    await manager.add_bulk("q", [{"data": n} for n in range(3)])
    await die(manager.engine, queue)
    await manager.engine.rescue(queue.ref, 3)
    await manager.run_workers(1, burst=True)

    assert ran == [0, 1, 2]


# Workers that are other processes


@contextlib.asynccontextmanager
async def program(scenario, url, path):
    """Run a worker in a process of its own, which is ended at the end whatever happens."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.worker.program", scenario, url, str(path))
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGCONT)
            process.terminate()
        await process.wait()


async def test_a_killed_workers_job_is_run_by_another(file_url, another, settings, tmp_path):
    manager = another()

    async def process(job):
        return "rescued"

    handle = await manager.add_job("q", data=60)
    async with program("lease", file_url, tmp_path / "marks") as worker:
        await lines_of(tmp_path / "marks", 1)
        worker.kill()
        await worker.wait()
    manager.register_processor("q", process)
    await manager.start_workers(settings=settings(lease=0.4))

    assert await handle.result(10) == "rescued"
    assert (await handle.job()).stalls == 1


async def test_what_a_suspended_worker_settles_after_its_lease_is_refused(
    file_url, another, settings, tmp_path
):
    manager = another()
    events = []
    gate = asyncio.Event()

    async def process(job):
        await gate.wait()
        return "the second worker's"

    manager.register_processor("q", process)
    handle = await manager.add_job("q", data=0.1)
    async with program("lease", file_url, tmp_path / "marks") as suspended:
        await lines_of(tmp_path / "marks", 1)
        os.kill(suspended.pid, signal.SIGSTOP)
        cursor = await tail_of(manager.engine, manager.queue("q").ref)
        await manager.start_workers(settings=settings(lease=1))
        await until(lambda: taken_by_us(handle, suspended.pid))
        os.kill(suspended.pid, signal.SIGCONT)
        marks = await lines_of(tmp_path / "marks", 2)
        while "LeaseLost" not in marks:
            marks = await lines_of(tmp_path / "marks", len(marks) + 1)
        assert (await handle.job()).state is JobState.ACTIVE
        gate.set()
        assert await handle.result(10) == "the second worker's"
    events, _ = await news_of(manager.engine, manager.queue("q").ref, cursor)

    assert [e.kind for e in events if e.job_id == handle.id and e.kind == "completed"] == [
        "completed"
    ]
    job = await until_state(handle, JobState.COMPLETED)
    assert (job.result, job.stalls, job.attempts_started) == ("the second worker's", 1, 2)


async def taken_by_us(handle, pid):
    job = await handle.job()
    return job.state is JobState.ACTIVE and f"-{pid}-" not in job.worker
