"""How processes of handlers end, and what they have started with them."""

import asyncio
import os
import signal
import sys

import pytest

from tests.worker import jobs
from tests.worker.waiting import children, failure_of, has_ended, lines_of, until
from toril import ConfigurationError, WorkerSettings


@pytest.fixture
def url():
    """What a handler does is the same whatever the store."""
    return "memory://"


@pytest.fixture
def marks(tmp_path):
    return str(tmp_path / "marks")


async def test_a_process_that_died_is_noticed_while_a_fork_of_it_lives(queue, work, marks):
    task = queue.task(run_in="process")(jobs.fork_and_die)
    await work()

    error = await failure_of(await task.enqueue(marks))

    assert (error.error_type, error.reason) == (
        "ProcessDied",
        "the handler's process ended with exit code 3",
    )
    (fork,) = await lines_of(marks, 1)
    await until(lambda: has_ended(fork))


async def test_the_end_of_a_worker_waits_for_nothing_that_a_handler_started(
    manager, queue, work, marks
):
    task = queue.task(run_in="process")(jobs.fork_and_return)
    await work()
    assert await (await task.enqueue(marks)).result(10) == "forked"
    (fork,) = await lines_of(marks, 1)

    await manager.shutdown()

    await until(lambda: has_ended(fork))


async def test_a_timeout_ends_what_the_handler_started_too(queue, work, marks):
    task = queue.task(run_in="process", timeout=1)(jobs.start_a_program_and_stay)
    await work()
    handle = await task.enqueue(marks)
    program, process = await lines_of(marks, 2)

    assert (await failure_of(handle)).error_type == "Timeout"
    await until(lambda: has_ended(program) and has_ended(process))


async def test_a_cancelled_job_ends_what_its_handler_started_too(queue, work, marks):
    task = queue.task(run_in="process")(jobs.start_a_program_and_stay)
    await work()
    handle = await task.enqueue(marks)
    program, process = await lines_of(marks, 2)

    await handle.cancel()

    await until(lambda: has_ended(program) and has_ended(process))


@pytest.mark.parametrize(
    ("scenario", "number"), [("processes", 1), ("stuck", 1), ("program", 2), ("stuck program", 2)]
)
async def test_a_worker_that_was_killed_takes_along_what_it_started(
    file_url, marks, scenario, number
):
    """A process that holds its interpreter cannot notice anything by itself."""
    worker = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.worker.program", scenario, file_url, marks)
    )
    pids = await lines_of(marks, number)

    worker.kill()
    await worker.wait()

    await until(lambda: all(map(has_ended, pids)))


async def test_signals_to_a_whole_service_leave_its_processes_to_the_worker(queue, work, marks):
    task = queue.task(run_in="process")(jobs.run_until_told)
    await work()
    handle = await task.enqueue(marks, f"{marks}.go")
    (process,) = await lines_of(marks, 1)

    os.killpg(int(process), signal.SIGTERM)
    os.killpg(int(process), signal.SIGINT)
    await asyncio.to_thread(jobs.mark, f"{marks}.go")

    assert await handle.result(10) == "told"


async def test_a_program_that_a_handler_starts_obeys_signals(queue, work):
    task = queue.task(run_in="process")(jobs.terminate_a_program)
    await work()

    assert await (await task.enqueue()).result(20) == -signal.SIGTERM


async def test_a_process_is_replaced_after_a_number_of_jobs(queue, work):
    task = queue.task(run_in="process")(jobs.pid)
    await work(processes=1, max_jobs_per_process=2)

    pids = [await (await task.enqueue()).result(10) for _ in range(6)]

    assert pids[0::2] == pids[1::2]
    assert len(set(pids)) == 3
    await until(lambda: not children() & set(pids[:4]))


async def test_a_process_that_keeps_too_much_memory_is_replaced(queue, work):
    task = queue.task(run_in="process")(jobs.keep)
    await work(processes=1, max_memory_per_process=300_000_000)

    first, second, third = [
        await (await task.enqueue(size)).result(20) for size in (1, 400_000_000, 1)
    ]

    assert first == second != third


@pytest.mark.parametrize("name", ["max_jobs_per_process", "max_memory_per_process"])
@pytest.mark.parametrize("value", [0, -1, 1.5, "much"])
def test_a_limit_of_a_process_is_checked(name, value):
    with pytest.raises(ConfigurationError, match=name):
        WorkerSettings(**{name: value})


async def test_methods_that_need_no_object_are_found(queue, work):
    of_class = queue.task("class", run_in="process")(jobs.Workshop.of_the_class)
    of_nobody = queue.task("nobody", run_in="process")(jobs.Workshop.of_nobody)
    await work()

    assert await (await of_class.enqueue(2)).result(10) == 16
    assert await (await of_nobody.enqueue(2)).result(10) == -2
