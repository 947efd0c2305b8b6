"""Ending a handler before it ends by itself: timeouts and cancellation, in each kind."""

import asyncio
import os
import time

import pytest

from tests.worker import jobs
from tests.worker.kinds import KINDS
from tests.worker.waiting import failure_of, lines_of, until, until_state
from toril import ConflictError, JobCancelledError, JobContext, JobFailed, JobState


@pytest.fixture
def url():
    """What a handler does is the same whatever the store."""
    return "memory://"


@pytest.fixture
def sleeper(queue, release):
    """Make a task of a kind that runs until it is stopped, and leaves a mark when it starts."""

    def make(kind, **options):
        match kind:
            case "async":

                async def sleep(path: str) -> None:
                    jobs.mark(path)
                    await asyncio.Event().wait()

            case "thread":

                def sleep(path: str) -> None:
                    jobs.mark(path)
                    release.wait()

            case "process":
                sleep = jobs.run_for_ever
        return queue.task("sleep", run_in=kind, **options)(sleep)

    return make


def is_running(pid):
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    return True


# Timeouts


@pytest.mark.parametrize("kind", KINDS)
async def test_a_handler_that_takes_too_long_has_failed(queue, work, sleeper, tmp_path, kind):
    task = sleeper(kind, timeout=0.2, attempts=2)
    await work()
    handle = await task.enqueue(str(tmp_path / "marks"))

    error = await failure_of(handle)

    assert error.error_type == "Timeout"
    assert error.reason.startswith("it did not finish within 0.2 s")
    assert (await handle.job()).attempts_made == 2


async def test_a_thread_cannot_be_stopped_and_that_is_said(queue, work, sleeper, tmp_path):
    task = sleeper("thread", timeout=0.1)
    await work()

    error = await failure_of(await task.enqueue(str(tmp_path / "marks")))

    assert error.reason.endswith("and is still running, because it could not be stopped")


@pytest.mark.parametrize("kind", ["async", "process"])
async def test_of_a_handler_that_was_stopped_nobody_says_that_it_runs(
    work, sleeper, tmp_path, kind
):
    task = sleeper(kind, timeout=0.1)
    await work()

    error = await failure_of(await task.enqueue(str(tmp_path / "marks")))

    assert error.reason == "it did not finish within 0.1 s"


@pytest.mark.parametrize(
    "function", [jobs.run_for_ever, jobs.ignore_sigterm_for_ever, jobs.hold_the_interpreter]
)
async def test_a_process_that_takes_too_long_is_killed(queue, work, tmp_path, function):
    warm = queue.task(run_in="process")(jobs.pid)
    task = queue.task(run_in="process", timeout=0.3)(function)
    await work(processes=1)
    pid = await (await warm.enqueue()).result(10)
    handle = await task.enqueue(str(tmp_path / "marks"))

    assert (await failure_of(handle)).error_type == "Timeout"
    assert await lines_of(tmp_path / "marks", 1) == [str(pid)]
    await until(lambda: not is_running(pid))


async def test_a_coroutine_that_takes_too_long_may_clean_up(queue, work):
    cleaned = []

    @queue.task(timeout=0.1)
    async def tidy() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.01)
            cleaned.append(1)

    await work()

    assert (await failure_of(await tidy.enqueue())).error_type == "Timeout"
    assert cleaned == [1]


async def test_a_coroutine_that_swallows_its_cancellation_has_failed_all_the_same(queue, work):
    @queue.task(timeout=0.1)
    async def stubborn() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "done nevertheless"

    await work()
    handle = await stubborn.enqueue()

    assert (await failure_of(handle)).error_type == "Timeout"
    assert (await handle.job()).result is None


async def test_who_goes_on_after_his_cancellation_is_not_waited_for_and_keeps_his_place(
    queue, work, caplog
):
    @queue.task(timeout=0.1)
    async def stubborn() -> None:
        while not gate.is_set():
            try:
                await gate.wait()
            except asyncio.CancelledError:
                continue

    @queue.task
    async def other() -> str:
        return "ran"

    gate = asyncio.Event()
    worker = await work(concurrency=1)
    error = await failure_of(await stubborn.enqueue())
    waits = await other.enqueue()

    assert error.reason.endswith("is still running, because it could not be stopped")
    assert "is still running after it was asked to stop; it keeps its slot" in caplog.text
    assert worker.running == 1
    assert await waits.state() is JobState.WAITING
    gate.set()
    assert await waits.result(10) == "ran"


async def test_a_thread_that_is_over_its_time_keeps_its_place(
    queue, work, sleeper, release, tmp_path
):
    task = sleeper("thread", timeout=0.1)

    @queue.task
    async def other() -> str:
        return "ran"

    worker = await work(concurrency=1)
    await failure_of(await task.enqueue(str(tmp_path / "marks")))
    waits = await other.enqueue()

    assert worker.running == 1
    release.set()
    assert await waits.result(10) == "ran"


async def test_a_thread_can_look_whether_its_time_is_over(queue, work):
    seen = []

    @queue.task(timeout=0.1)
    def polite(job: JobContext) -> None:
        while not job.cancelled:
            time.sleep(0.01)
        seen.append(job.cancelled)

    await work()

    assert (await failure_of(await polite.enqueue())).error_type == "Timeout"
    await until(lambda: seen == [True])


@pytest.mark.parametrize("kind", KINDS)
async def test_a_handler_within_its_time_is_left_alone(queue, work, kind):
    function = jobs.double_in_a_coroutine if kind == "async" else jobs.double
    task = queue.task(run_in=kind, timeout="1m")(function)
    await work()

    assert await (await task.enqueue(4)).result(10) == 8


async def test_the_time_that_a_job_waits_for_a_process_does_not_count(queue, work, tmp_path):
    slow = queue.task(run_in="process")(jobs.wait_for)
    double = queue.task(run_in="process", timeout=0.3)(jobs.double)
    await work(processes=1)
    first = await slow.enqueue(str(tmp_path / "go"))
    second = await double.enqueue(4)
    await until_state(second, JobState.ACTIVE)
    await asyncio.sleep(0.4)
    (tmp_path / "go").touch()

    await first.result(10)
    assert await second.result(10) == 8


async def test_the_time_that_a_process_takes_to_start_does_not_count(queue, work):
    double = queue.task(run_in="process", timeout=0.1)(jobs.double)
    await work(processes=1)

    assert await (await double.enqueue(4)).result(10) == 8


async def test_a_timeout_of_the_handlers_own_is_its_own_error(queue, work):
    @queue.task(timeout=10)
    async def own() -> None:
        async with asyncio.timeout(0.01):
            await asyncio.Event().wait()

    await work()

    assert (await failure_of(await own.enqueue())).error_type == "TimeoutError"


# Cancellation


async def test_a_job_that_waits_is_cancelled_at_once(manager, queue):
    waiting = await queue.add()
    delayed = await queue.add(delay=60)

    for handle in (waiting, delayed):
        await handle.cancel()
        job = await handle.job()
        assert (job.state, job.attempts_started) == (JobState.FAILED, 0)
        with pytest.raises(JobCancelledError, match="cancelled on request"):
            await handle.result(10)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_job_that_runs_is_stopped_and_not_tried_again(
    manager, work, sleeper, tmp_path, kind
):
    failed = []
    manager.on(JobFailed, failed.append)
    task = sleeper(kind, attempts=5)
    await work(lease=0.6)
    handle = await task.enqueue(str(tmp_path / "marks"))
    await lines_of(tmp_path / "marks", 1)

    await handle.cancel()

    with pytest.raises(JobCancelledError, match="cancelled on request"):
        await handle.result(10)
    job = await handle.job()
    assert (job.state, job.attempts_made, job.errors[-1].type) == (JobState.FAILED, 1, "Cancel")
    assert [event.lease.id for event in failed] == [handle.id]


async def test_a_cancelled_process_is_killed(work, sleeper, tmp_path):
    task = sleeper("process")
    await work(lease=0.6)
    handle = await task.enqueue(str(tmp_path / "marks"))
    (pid,) = await lines_of(tmp_path / "marks", 1)

    await handle.cancel()

    with pytest.raises(JobCancelledError):
        await handle.result(10)
    await until(lambda: not is_running(pid))


async def test_a_thread_can_look_whether_it_was_cancelled(queue, work, started):
    @queue.task
    def polite(job: JobContext) -> str:
        while not job.cancelled:
            time.sleep(0.01)
        return "in good order"

    await work(lease=0.6)
    handle = await polite.enqueue()
    await started()
    await handle.cancel()

    with pytest.raises(JobCancelledError):
        await handle.result(10)


async def test_a_handler_that_swallows_its_cancellation_was_cancelled_all_the_same(
    queue, work, started
):
    @queue.task
    async def stubborn() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "done nevertheless"

    await work(lease=0.6)
    handle = await stubborn.enqueue()
    await started()
    await handle.cancel()

    with pytest.raises(JobCancelledError):
        await handle.result(10)


async def test_a_job_between_two_attempts_is_cancelled(queue, work):
    @queue.task(attempts=2, backoff="1h")
    async def fails() -> None:
        raise ValueError

    await work()
    handle = await fails.enqueue()
    await until_state(handle, JobState.DELAYED)
    await handle.cancel()

    with pytest.raises(JobCancelledError):
        await handle.result(10)


async def test_a_cancelled_job_can_be_run_again(queue, work):
    @queue.task
    async def task() -> str:
        return "ran"

    handle = await task.enqueue()
    await handle.cancel()
    await work()
    await handle.retry()

    assert await handle.result(10) == "ran"


async def test_a_job_that_has_ended_cannot_be_cancelled(queue, work):
    @queue.task
    async def task() -> None: ...

    await work()
    handle = await task.enqueue()
    await handle.result(10)

    with pytest.raises(ConflictError, match="is completed and cannot be cancelled"):
        await handle.cancel()


async def test_all_jobs_of_a_tag_are_cancelled(queue, work, started):
    gate = asyncio.Event()

    @queue.task
    async def task() -> None:
        await gate.wait()

    running = await task.options(tags=["batch"]).enqueue()
    await work(concurrency=1, lease=0.6)
    await started()
    waiting = await task.options(tags=["batch"]).enqueue()
    other = await task.enqueue()

    assert await queue.cancel_jobs(tag="batch") == 2
    for handle in (running, waiting):
        with pytest.raises(JobCancelledError):
            await handle.result(10)
    gate.set()
    await other.result(10)


async def test_a_job_is_cancelled_from_another_process(another, settings):
    producer, worker = another(), another()

    async def process(job):
        await asyncio.Event().wait()

    worker.register_processor("q", process)
    handle = await producer.add_job("q")
    await worker.start_workers(settings=settings(lease=0.6))
    await until_state(handle, JobState.ACTIVE)
    await handle.cancel()

    with pytest.raises(JobCancelledError):
        await handle.result(10)
