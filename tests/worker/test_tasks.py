"""Typed tasks, from the call that adds them to the function that runs."""

import asyncio
import os
import sys
import threading
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from tests.worker import jobs
from tests.worker.jobs import Point
from tests.worker.kinds import KINDS, as_task, on_the_loop
from tests.worker.waiting import failure_of, until_state
from toril import JobContext, JobState, NotFoundError, ValidationError, current_job


@pytest.mark.parametrize("kind", KINDS)
async def test_a_function_runs_where_it_is_told(queue, work, kind):
    task = as_task(queue, jobs.pid, kind)
    await work()

    found = await (await task.enqueue()).result(10)

    assert (found == os.getpid()) is (kind != "process")


async def test_a_coroutine_function_can_run_in_a_process(queue, work):
    task = queue.task(run_in="process")(jobs.double_in_a_coroutine)
    await work()

    assert await (await task.enqueue(4)).result(10) == 8


async def test_a_sync_handler_does_not_run_on_the_event_loops_thread(queue, work):
    @queue.task
    def where() -> str:
        return threading.current_thread().name

    await work()

    assert await (await where.enqueue()).result(10) != threading.current_thread().name


@pytest.mark.parametrize("kind", KINDS)
async def test_arguments_results_and_the_context_are_what_the_function_declares(queue, work, kind):
    task = as_task(queue, jobs.move, kind)
    await work()

    assert await (await task.enqueue(Point(1))).result(10) == Point(2)
    assert await (await task.enqueue(point=Point(1, 2.0), by=5)).result(10) == Point(6, 2.0)


@pytest.mark.parametrize("kind", KINDS)
async def test_the_context_tells_of_the_job_and_stores_what_is_reported(queue, work, kind):
    task = as_task(
        queue,
        jobs.report,
        kind,
        attempts=3,
        priority=7,
        tags=["a", "b"],
        metadata={"tenant": 5},
        correlation_id="request-5",
    )
    await work()
    handle = await task.enqueue()

    assert await handle.result(10) == {
        "id": handle.id,
        "name": "report",
        "queue": "q",
        "attempt": 1,
        "attempts": 3,
        "priority": 7,
        "tags": ["a", "b"],
        "metadata": {"tenant": 5},
        "correlation_id": "request-5",
        "current": handle.id,
    }
    assert await handle.progress() == {"done": 1}
    assert await handle.logs() == ["first", "second\nline"]
    assert await handle.logs(start=1, limit=5) == ["second\nline"]


@pytest.mark.parametrize("kind", KINDS)
async def test_a_line_with_a_lone_surrogate_is_logged_and_harms_nobody(queue, work, kind):
    task = as_task(queue, jobs.log_a_surrogate, kind)
    await work()
    handle = await task.enqueue()

    assert await handle.result(10) == 5
    assert await handle.logs() == ["name ? of a file"]


@pytest.mark.parametrize("kind", KINDS)
async def test_a_default_is_the_workers_and_not_the_producers(manager, queue, work, kind):
    task = as_task(queue, jobs.move, kind)
    handle = await manager.add_job("q", "move", {"point": {"x": 1}})
    await work()

    assert (await handle.job()).data == {"point": {"x": 1}}
    assert await handle.result(10) == {"x": 2, "y": 0.5}
    assert (await (await task.enqueue(Point(1))).job()).data == {"point": {"x": 1, "y": 0.5}}


async def test_wrong_arguments_are_refused_before_anything_is_stored(queue):
    task = queue.task(jobs.double)

    with pytest.raises(ValidationError, match=r"arguments\.x: Expected `int`, got `str`"):
        await task.enqueue("4")
    with pytest.raises(ValidationError, match="missing a required argument: 'x'"):
        await task.enqueue()
    with pytest.raises(NotFoundError):
        await queue.counts()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("data", [{"x": "4"}, {}, {"x": 1, "y": 2}, [4], None], ids=str)
async def test_a_payload_that_does_not_fit_ends_its_job_without_another_attempt(
    queue, work, kind, data
):
    as_task(queue, jobs.double, kind)
    await work()
    handle = await queue.add("double", data, attempts=5)

    error = await failure_of(handle)

    assert error.error_type == "ArgumentsInvalid"
    assert error.reason.startswith("arguments")
    assert (await handle.job()).attempts_made == 1


async def test_a_handlers_own_mistake_with_another_tasks_arguments_is_an_ordinary_error(
    queue, work
):
    double = queue.task(jobs.double)

    @queue.task(attempts=2)
    async def careless() -> None:
        await double.enqueue("4")

    await work()
    handle = await careless.enqueue()

    assert (await failure_of(handle)).error_type == "ValidationError"
    assert (await handle.job()).attempts_made == 2


async def test_a_job_whose_name_nothing_handles_fails_with_the_near_one(queue, work):
    queue.task("send-welcome")(jobs.double)
    await work(handler_wait=0)
    handle = await queue.add("send-wellcome")

    error = await failure_of(handle)

    assert error.error_type == "HandlerNotFound"
    assert (
        "no handler for 'send-wellcome' in queue 'q'; did you mean 'send-welcome'?" in error.reason
    )


async def test_a_job_whose_name_nothing_handles_waits_and_fails_when_none_came(queue, work):
    queue.task("other")(jobs.double)
    worker = await work(handler_wait=1)
    handle = await queue.add("unknown", attempts=3)

    error = await failure_of(handle)
    assert error.error_type == "HandlerNotFound"
    assert "none came within 1 s" in error.reason
    job = await handle.job()
    assert (job.attempts_made, job.attempts_started) == (1, 2)
    assert worker.statistics.released == 1


async def test_a_new_version_runs_the_jobs_that_the_old_one_has_no_handler_for(queue, work, caplog):
    """As during a rolling deploy: the producer is new, and the old workers still run."""
    queue.task("old")(jobs.double)
    old = await work()
    handle = await queue.add("new", {"x": 4}, attempts=1)
    behind = await queue.add("old", {"x": 1})
    assert await behind.result(10) == 2  # it never goes back to the head
    await until_state(handle, JobState.DELAYED)
    assert "no handler for 'new'" in caplog.text

    old.stop()
    queue.task("new")(jobs.double)
    await work()

    assert await handle.result(20) == 8
    assert (await handle.job()).attempts_made == 1


async def test_a_burst_ends_without_the_jobs_that_it_has_no_handler_for(manager, queue, settings):
    queue.task("old")(jobs.double)
    waiting = await queue.add("new", {"x": 4})
    done = await queue.add("old", {"x": 1})
    worker = manager.worker(settings=settings())

    async with asyncio.timeout(20):
        await worker.run(burst=True)

    assert await done.result(5) == 2
    assert await waiting.state() is JobState.DELAYED
    assert worker.unhandled == {"new": 1}


async def test_a_processor_handles_what_no_task_does(manager, queue, work):
    queue.task(jobs.double)
    manager.register_processor("q", on_the_loop(jobs.process))
    await work()

    assert await (await queue.add("double", {"x": 4})).result(10) == 8
    assert await (await queue.add("else", [1])).result(10) == ["else", [1]]


@pytest.mark.parametrize("kind", KINDS)
async def test_a_processor_runs_where_it_is_told(manager, work, kind):
    function = on_the_loop(jobs.process) if kind == "async" else jobs.process
    manager.register_processor("q", function, run_in=kind)
    await work()

    assert await (await manager.add_job("q", "n", {"a": [1]})).result(10) == ["n", {"a": [1]}]


async def test_a_result_is_converted_to_what_the_function_declares(queue, work):
    @dataclass
    class Report:
        when: datetime
        ids: set[int]

    moment = datetime(2030, 1, 2, tzinfo=UTC)

    def make() -> Report:
        return Report(moment, {1, 2})

    make.__annotations__["return"] = Report
    task = queue.task(make)
    await work()
    handle = await task.enqueue()

    assert await handle.result(10) == Report(moment, {1, 2})
    assert (await handle.job()).result == {"when": "2030-01-02T00:00:00Z", "ids": [1, 2]}


async def test_a_result_that_is_not_what_was_declared_is_an_error_of_torils(queue, work):
    @queue.task
    async def lies() -> int:
        return "no number"

    await work()
    handle = await lies.enqueue()

    with pytest.raises(ValidationError, match="Expected `int`, got `str`"):
        await handle.result(10)
    assert await handle.state() is JobState.COMPLETED


async def test_nothing_is_returned_as_none(queue, work):
    @queue.task
    async def quiet() -> None:
        pass

    await work()

    assert await (await quiet.enqueue()).result(10) is None


async def test_the_running_job_is_known_wherever_its_handler_calls(queue, work):
    async def deep():
        await asyncio.sleep(0)
        return current_job().id

    @queue.task
    async def handler() -> list[str]:
        return [await deep(), await asyncio.create_task(deep()), await asyncio.to_thread(lower)]

    def lower():
        return current_job().id

    await work()
    handle = await handler.enqueue()

    assert await handle.result(10) == [handle.id] * 3


async def test_jobs_that_run_side_by_side_do_not_see_each_other(queue, work):
    barrier = asyncio.Barrier(3)

    @queue.task
    async def who() -> str:
        await barrier.wait()
        return current_job().id

    await work()
    handles = [await who.enqueue() for _ in range(3)]

    assert [await handle.result(10) for handle in handles] == [handle.id for handle in handles]


def test_outside_of_a_handler_no_job_runs():
    with pytest.raises(LookupError):
        current_job()


async def test_a_handler_may_enqueue_and_await_another_job(queue, work):
    double = queue.task(jobs.double)

    @queue.task
    async def twice(x: int) -> int:
        once = await (await double.enqueue(x)).result(10)
        return await (await double.enqueue(once)).result(10)

    await work()

    assert await (await twice.enqueue(3)).result(10) == 12


async def test_a_task_may_call_another_with_its_own_context(queue, work):
    @queue.task
    async def inner(job: JobContext, x: int) -> list:
        return [job.id, x]

    @queue.task
    async def outer() -> list:
        return await inner(5)

    await work()
    handle = await outer.enqueue()

    assert await handle.result(10) == [handle.id, 5]


async def test_a_handler_sees_in_which_attempt_it_is(queue, work):
    seen = []

    @queue.task(attempts=3)
    async def flaky(job: JobContext) -> int:
        seen.append((job.attempt, job.attempts))
        if job.attempt < 3:
            raise ValueError(job.attempt)
        return job.attempt

    await work()

    assert await (await flaky.enqueue()).result(10) == 3
    assert seen == [(1, 3), (2, 3), (3, 3)]


async def test_every_attempt_has_a_token_of_its_own(queue, work):
    tokens = []

    @queue.task(attempts=3)
    async def flaky(job: JobContext) -> None:
        tokens.append(job.attempt_token)
        raise ValueError

    await work()
    handles = [await flaky.enqueue() for _ in range(4)]
    for handle in handles:
        await failure_of(handle)

    assert len(set(tokens)) == len(tokens) == 12


async def test_what_a_handler_does_to_its_metadata_stays_its_own(queue, work):
    @queue.task(metadata={"seen": []})
    async def collect(job: JobContext) -> list:
        before = list(job.metadata["seen"])
        job.metadata["seen"].append(job.id)
        return before

    await work()

    assert [await (await collect.enqueue()).result(10) for _ in range(3)] == [[], [], []]


async def test_jobs_that_tasks_prepared_are_added_in_one_call(queue, work):
    double = queue.task(jobs.double)
    handles = await queue.add_jobs([double.job(n) for n in range(5)])
    await work()

    assert [await handle.result(10) for handle in handles] == [0, 2, 4, 6, 8]


async def test_a_program_that_is_run_as_a_script_can_have_process_handlers(tmp_path):
    script = tmp_path / "app.py"
    script.write_text(
        "import asyncio, os\n"
        "from toril import QueueManager\n"
        "manager = QueueManager('memory://')\n"
        "queue = manager.register_queue('q')\n"
        "@queue.task(run_in='process')\n"
        "def where() -> int:\n"
        "    return os.getpid()\n"
        "async def main():\n"
        "    async with manager:\n"
        "        await manager.start_workers()\n"
        "        assert await (await where.enqueue()).result(10) != os.getpid()\n"
        "if __name__ == '__main__':\n"
        "    asyncio.run(main())\n"
    )

    await run_program(str(script))


async def run_program(*arguments):
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "error", *arguments, stderr=asyncio.subprocess.PIPE
    )
    _, errors = await process.communicate()
    assert (process.returncode, errors.decode()) == (0, "")
