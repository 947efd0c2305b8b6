"""Handlers in processes of their own: they crash, and the worker goes on."""

import asyncio
import os
import signal
import sys

import pytest

from tests.worker import jobs
from tests.worker.waiting import children, failure_of, has_ended, lines_of, until
from toril import JobState


@pytest.fixture
def url():
    """What a handler does is the same whatever the store."""
    return "memory://"


@pytest.mark.parametrize(
    ("function", "arguments", "obituary"),
    [
        (jobs.exit_at_once, (7,), "the handler's process ended with exit code 7"),
        (jobs.exit_at_once, (0,), "the handler's process ended with exit code 0"),
        (jobs.segfault, (), "the handler's process was killed by SIGSEGV"),
        (jobs.kill_itself, (), "the handler's process was killed by SIGKILL"),
    ],
    ids=["exit 7", "exit 0", "segfault", "killed"],
)
async def test_a_job_that_kills_its_process_uses_up_an_attempt(
    queue, work, function, arguments, obituary
):
    task = queue.task(run_in="process", attempts=2)(function)
    await work()
    handle = await task.enqueue(*arguments)

    error = await failure_of(handle)

    assert (error.error_type, error.reason) == ("ProcessDied", obituary)
    job = await handle.job()
    assert (job.attempts_made, job.stalls, job.data) == (2, 0, (await handle.job()).data)


async def test_after_a_crash_the_pool_goes_on(queue, work):
    dies = queue.task(run_in="process")(jobs.exit_at_once)
    double = queue.task(run_in="process")(jobs.double)
    await work(processes=1)
    crashes = [await dies.enqueue(n) for n in range(3)]
    healthy = [await double.enqueue(n) for n in range(10)]

    for crash in crashes:
        await failure_of(crash)
    assert [await handle.result(10) for handle in healthy] == [2 * n for n in range(10)]


async def test_a_crash_takes_no_other_job_along(queue, work, tmp_path):
    dies = queue.task(run_in="process")(jobs.exit_at_once)
    long = queue.task(run_in="process")(jobs.run_for_ever)
    await work(processes=2, lease=0.6)
    running = await long.enqueue(str(tmp_path / "marks"))
    await lines_of(tmp_path / "marks", 1)
    await failure_of(await dies.enqueue(1))

    assert await running.state() is JobState.ACTIVE
    await running.cancel()


async def test_a_job_that_crashed_once_runs_again(queue, work, tmp_path):
    task = queue.task(run_in="process", attempts=2)(jobs.crash_once)
    await work()

    assert await (await task.enqueue(str(tmp_path / "marks"))).result(10) == "alive"


async def test_an_idle_process_that_was_killed_is_replaced(queue, work):
    task = queue.task(run_in="process")(jobs.pid)
    await work(processes=1)
    first = await (await task.enqueue()).result(10)
    os.kill(first, signal.SIGKILL)
    await until(lambda: first not in children())

    second = await (await task.options(attempts=2).enqueue()).result(10)
    assert second != first


async def test_a_process_is_used_again(queue, work):
    task = queue.task(run_in="process")(jobs.pid)
    await work(processes=1)

    pids = [await (await task.enqueue()).result(10) for _ in range(5)]

    assert len(set(pids)) == 1


async def test_no_more_processes_run_than_are_allowed(queue, work, tmp_path):
    task = queue.task(run_in="process")(jobs.pid)
    await work(processes=2, concurrency=10)
    handles = [await task.enqueue() for _ in range(30)]

    assert len({await handle.result(20) for handle in handles}) <= 2


async def test_what_a_handler_prints_does_not_disturb_its_answer(queue, work, capfd):
    task = queue.task(run_in="process")(jobs.say)
    await work()

    assert await (await task.enqueue("to the terminal")).result(10) == "to the terminal"
    assert "to the terminal" in "".join(capfd.readouterr())


@pytest.mark.parametrize("n", [0, 1, 2**16, 2**20 - 100])
async def test_arguments_and_results_of_any_size_cross(queue, work, n):
    task = queue.task(run_in="process")(jobs.say)
    await work()

    assert await (await task.enqueue("ä" * (n // 2))).result(10) == "ä" * (n // 2)


async def test_with_the_worker_its_processes_end(manager, queue, work, tmp_path):
    before = children()
    idle = queue.task(run_in="process")(jobs.pid)
    long = queue.task(run_in="process")(jobs.run_for_ever)
    await work(processes=2, grace=0)
    await (await idle.enqueue()).result(10)
    handle = await long.enqueue(str(tmp_path / "marks"))
    await lines_of(tmp_path / "marks", 1)
    assert children() - before

    await manager.shutdown()

    assert children() == before
    assert handle.id


async def test_with_a_worker_that_was_killed_its_processes_end(file_url, tmp_path):
    worker = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.worker.program", "processes", file_url),
        str(tmp_path / "marks"),
    )
    (pid,) = await lines_of(tmp_path / "marks", 1)

    worker.kill()
    await worker.wait()

    await until(lambda: has_ended(pid))


async def test_a_module_that_cannot_be_imported_is_an_error_of_the_attempt(
    queue, work, tmp_path, monkeypatch
):
    module = tmp_path / "only_here.py"
    module.write_text(f"import os\nassert os.getpid() == {os.getpid()}\ndef work(): return 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    import only_here  # noqa: PLC0415 - it was written a moment ago

    task = queue.task(run_in="process")(only_here.work)
    await work()

    assert (await failure_of(await task.enqueue())).error_type == "AssertionError"
