"""How a worker ends: by itself, when it is told, and when it is told twice."""

import asyncio
import contextlib
import functools
import signal
import sys

import pytest

from tests.worker import jobs
from tests.worker.waiting import failure_of, lines_of, until, until_state
from toril import ConfigurationError, JobReleased, JobState, QueueManager, Settings
from toril.engine.sqlite import SqliteEngine


@pytest.fixture
def gate():
    return asyncio.Event()


@pytest.fixture
def sleeper(queue, gate):
    @queue.task(attempts=2)
    async def sleeper() -> str:
        await gate.wait()
        return "finished"

    return sleeper


# Embedding


async def test_workers_run_in_the_background_until_the_manager_ends(url, settings):
    async with QueueManager(url, settings=Settings()) as manager:
        queue = manager.register_queue("q")

        @queue.task
        async def task() -> str:
            return "ran"

        worker = await manager.start_workers(settings=settings())
        assert await (await task.enqueue()).result(10) == "ran"

    assert worker.running == 0


async def test_running_jobs_finish_within_the_grace_period(manager, sleeper, work, started, gate):
    worker = await work(grace=10)
    handle = await sleeper.enqueue()
    waits = await sleeper.options(delay=0.3).enqueue()
    await started()
    worker.stop()
    ending = asyncio.create_task(handle.result(10))
    await asyncio.sleep(0.4)
    assert await handle.state() is JobState.ACTIVE
    gate.set()

    assert await ending == "finished"
    assert worker.statistics.completed == 1
    assert (await waits.job()).attempts_started == 0


async def test_after_the_grace_period_a_job_is_given_back_and_has_used_up_no_attempt(
    manager, sleeper, work, started, gate
):
    released = []
    manager.on(JobReleased, released.append)
    worker = await work(grace=0.1)
    handle = await sleeper.enqueue()
    await started()
    worker.stop()

    job = await until_state(handle, JobState.WAITING)

    assert (job.attempts_made, job.attempts_started, job.stalls, job.errors) == (0, 1, 0, ())
    await until(lambda: [e.lease.id for e in released] == [handle.id])
    gate.set()
    await work()
    assert await handle.result(10) == "finished"
    assert (await handle.job()).attempts_made == 1


async def test_jobs_that_are_given_back_keep_their_order(manager, queue, work, started, gate):
    ran = []

    async def process(job):
        ran.append(job.data)
        await gate.wait()

    manager.register_processor("q", process)
    await manager.add_bulk("q", [{"data": n} for n in range(6)])
    worker = await work(concurrency=3, grace=0)
    await started(3)
    worker.stop()
    await until(lambda: worker.running == 0)
    ran.clear()
    gate.set()
    await manager.run_workers(1, burst=True)

    assert ran == list(range(6))


async def test_a_worker_that_is_forced_does_not_wait_for_the_grace_period(
    manager, sleeper, work, started
):
    worker = await work(grace=3600)
    handle = await sleeper.enqueue()
    await started()
    worker.stop()
    worker.stop(force=True)

    assert (await until_state(handle, JobState.WAITING)).attempts_made == 0


async def test_work_that_was_finished_in_spite_of_the_end_counts(manager, queue, work, started):
    @queue.task
    async def stubborn() -> str:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        return "finished"

    worker = await work(grace=0)
    handle = await stubborn.enqueue()
    await started()
    worker.stop()

    assert await handle.result(10) == "finished"


async def test_a_handler_that_does_not_end_keeps_no_worker_from_ending(
    manager, queue, work, started, gate
):
    @queue.task
    async def stubborn() -> None:
        while not gate.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await gate.wait()

    worker = await work(grace=0, cancel_grace=0.1)
    handle = await stubborn.enqueue()
    await started()
    worker.stop()

    job = await until_state(handle, JobState.WAITING)
    assert job.attempts_made == 0
    await until(lambda: worker not in manager._running or manager._running[worker].done())
    gate.set()


async def test_a_thread_that_does_not_end_keeps_no_worker_from_ending(
    manager, queue, work, started, release
):
    @queue.task
    def stubborn() -> None:
        release.wait()

    worker = await work(grace=0)
    handle = await stubborn.enqueue()
    await started()
    worker.stop()

    assert (await until_state(handle, JobState.WAITING)).attempts_made == 0
    await until(manager._running[worker].done)


async def test_what_a_handler_reported_is_stored_before_its_worker_ends(
    manager, queue, work, started
):
    @queue.task
    async def task(job) -> None: ...

    async def process(job):
        job.progress("half")
        job.log("line")
        await asyncio.Event().wait()

    manager.register_processor("q", process)
    worker = await work(grace=0)
    handle = await queue.add("other")
    await started()
    worker.stop()
    await until_state(handle, JobState.WAITING)

    assert await handle.progress() == "half"
    assert await handle.logs() == ["line"]


async def test_stopping_twice_is_stopping_once(manager, work):
    async def process(job): ...

    manager.register_processor("q", process)
    worker = await work()
    worker.stop()
    worker.stop()
    await manager.shutdown()
    await manager.shutdown()


async def test_a_manager_can_be_used_again_after_its_end(file_url, settings):
    manager = QueueManager(file_url, settings=Settings())
    queue = manager.register_queue("q")

    @queue.task
    async def task(x: int) -> int:
        return x

    for n in range(3):
        async with manager:
            await manager.start_workers(settings=settings())
            assert await (await task.enqueue(n)).result(10) == n

    async with manager:
        assert (await manager.get_queue_metrics("q")).completed == 3


async def test_a_manager_that_is_used_again_waits_without_asking_the_store_all_the_time(
    url, settings, monkeypatch
):
    manager = QueueManager(url, settings=Settings())

    async def process(job): ...

    manager.register_processor("q", process)
    async with manager:
        pass
    async with manager:
        await manager.start_workers(settings=settings())
        handle = await manager.add_job("q")
        await handle.result(10)
        exchange, asked = manager.engine.exchange, []

        async def counted(*args):
            asked.append(args)
            return await exchange(*args)

        monkeypatch.setattr(manager.engine, "exchange", counted)
        await asyncio.sleep(0.3)

    assert len(asked) < 10


async def test_a_worker_that_cannot_run_says_so_when_it_is_started(manager, queue):
    queue.task("double", run_in="process")(functools.wraps(jobs.double)(lambda x: x))

    with pytest.raises(ConfigurationError, match="as a decorator"):
        await manager.start_workers()


# Burst


async def test_in_burst_a_worker_ends_when_nothing_is_left(manager, queue):
    @queue.task
    async def task(n: int) -> None:
        if n:
            await task.enqueue(n - 1)

    await task.enqueue(10)
    await manager.run_workers(burst=True)

    counts = await queue.counts()
    assert (counts[JobState.COMPLETED], sum(counts.values())) == (11, 11)


async def test_in_burst_a_worker_waits_for_short_retries_and_delays(manager, queue):
    runs = []

    @queue.task(attempts=3, backoff=0.2)
    async def flaky() -> None:
        runs.append(1)
        if len(runs) < 3:
            raise ValueError

    @queue.task(delay=0.3)
    async def delayed() -> None:
        runs.append("delayed")

    await flaky.enqueue()
    await delayed.enqueue()
    await manager.run_workers(burst=True)

    assert sorted(map(str, runs)) == ["1", "1", "1", "delayed"]


class SlowToSettle(SqliteEngine):
    """An engine on a slow disk: it takes a while to answer an exchange with settlements."""

    async def exchange(self, queue, settlements, fetch):
        if settlements:
            await asyncio.sleep(0.3)
        return await super().exchange(queue, settlements, fetch)


async def test_in_burst_a_worker_waits_for_the_retry_that_a_slow_store_has_not_taken_yet():
    manager = QueueManager(engine=SlowToSettle(None), settings=Settings())
    runs = []

    @manager.register_queue("q").task(attempts=2, backoff=0.1)
    async def flaky() -> None:
        runs.append(1)
        if len(runs) < 2:
            raise ValueError

    await flaky.enqueue()
    await manager.run_workers(burst=True)

    assert runs == [1, 1]
    await manager.shutdown()


async def test_in_burst_a_worker_does_not_wait_for_what_is_due_tomorrow(manager, queue):
    @queue.task
    async def task() -> None: ...

    later = await task.options(delay="1d").enqueue()
    await manager.run_workers(burst=True)

    assert await later.state() is JobState.DELAYED


async def test_in_burst_a_worker_does_not_wait_for_a_paused_queue(manager, queue):
    @queue.task
    async def task() -> None: ...

    handle = await task.enqueue()
    await queue.pause()
    await manager.run_workers(burst=True)

    assert await handle.state() is JobState.WAITING


async def test_in_burst_with_nothing_to_do_a_worker_ends_at_once(manager):
    async def process(job): ...

    for name in ("a", "b"):
        manager.register_processor(name, process)

    await manager.run_workers(burst=True)


async def test_in_burst_what_fails_does_not_keep_the_worker(manager, queue):
    @queue.task
    async def fails() -> None:
        raise ValueError

    handles = [await fails.enqueue() for _ in range(5)]
    await manager.run_workers(burst=True)

    for handle in handles:
        await failure_of(handle)


# Signals, to a worker in a process of its own


@contextlib.asynccontextmanager
async def program(scenario, url, path):
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-X", "faulthandler", "-m", "tests.worker.program"),
        *(scenario, url, str(path)),
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


@pytest.fixture
async def producer(another):
    return another()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda s: s.name)
async def test_at_the_first_signal_running_jobs_finish_and_no_other_starts(
    producer, file_url, tmp_path, number
):
    marks = tmp_path / "marks"
    async with program("sleep", file_url, marks) as worker:
        running = await producer.add_bulk("q", [{"data": 0.4}] * 4)
        await lines_of(marks, 4)
        waiting = await producer.add_job("q", data=0)
        worker.send_signal(number)
        assert await worker.wait() == 0

    assert marks.read_text().splitlines() == ["started"] * 4 + ["finished"] * 4 + ["ended"]
    assert [await handle.result(5) for handle in running] == ["slept"] * 4
    assert await waiting.state() is JobState.WAITING


async def test_after_the_grace_period_jobs_are_given_back(producer, file_url, tmp_path):
    marks = tmp_path / "marks"
    async with program("impatient", file_url, marks) as worker:
        handle = await producer.add_job("q", data=3600)
        await lines_of(marks, 1)
        worker.terminate()
        assert await worker.wait() == 0

    job = await handle.job()
    assert (job.state, job.attempts_made, job.stalls) == (JobState.WAITING, 0, 0)
    assert marks.read_text().splitlines() == ["started", "ended"]


async def test_the_second_signal_forces(producer, file_url, tmp_path):
    marks = tmp_path / "marks"
    async with program("sleep", file_url, marks) as worker:
        handle = await producer.add_job("q", data=3600)
        await lines_of(marks, 1)
        worker.terminate()
        await asyncio.sleep(0.2)
        assert await handle.state() is JobState.ACTIVE
        worker.terminate()
        assert await worker.wait() == 0

    job = await handle.job()
    assert (job.state, job.attempts_made) == (JobState.WAITING, 0)


async def test_the_second_signal_ends_even_a_program_whose_threads_go_on(
    producer, file_url, tmp_path
):
    marks = tmp_path / "marks"
    async with program("block", file_url, marks) as worker:
        handle = await producer.add_job("q", data=3600)
        await lines_of(marks, 1)
        worker.terminate()
        await asyncio.sleep(0.2)
        worker.terminate()
        assert await worker.wait() == 0

    assert (await handle.job()).state is JobState.WAITING


async def test_an_idle_worker_ends_at_the_first_signal(producer, file_url, tmp_path):
    marks = tmp_path / "marks"
    async with program("sleep", file_url, marks) as worker:
        await (await producer.add_job("q", data=0)).result(20)
        worker.terminate()
        assert await worker.wait() == 0

    assert marks.read_text().splitlines() == ["started", "finished", "ended"]


async def test_signals_are_given_back_to_who_had_them(manager):
    async def process(job): ...

    manager.register_processor("q", process)
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    await manager.run_workers(burst=True)

    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before
