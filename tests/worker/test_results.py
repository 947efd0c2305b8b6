"""Awaiting what a job returns, whenever it ends and whoever runs it."""

import asyncio
import threading

import pytest

from tests.worker.waiting import until, until_state
from toril import (
    JobCancelledError,
    JobError,
    JobFailedError,
    JobOptions,
    JobRemovedError,
    JobState,
    Keep,
    ResultTimeoutError,
    StoreUnavailableError,
    ValidationError,
)
from toril.engine.contract.hot_path import Fetch
from toril.model.ids import new_id
from toril.model.job import NewJob
from toril.model.settlement import Complete


def is_awaited(handle):
    """Whether somebody on this event loop waits for a job's result."""
    follower = handle._origin.results._followers.get(asyncio.get_running_loop())
    return follower is not None and handle.id in follower._waiting.get(handle.queue, ())


async def awaited(*handles):
    """Begin to wait for results; return the waiting tasks once they wait."""
    tasks = [asyncio.create_task(handle.result(20)) for handle in handles]
    await until(lambda: all(is_awaited(handle) for handle in handles))
    for _ in range(3):  # calls go to the store in order: these come after the waiters' own
        await handles[0].state()
    return tasks


@pytest.fixture
def gate():
    return asyncio.Event()


@pytest.fixture
def looks_again_soon(monkeypatch):
    """Who waits looks into the store itself now and then; here he does so sooner."""
    monkeypatch.setattr("toril.queues.results._LOOK_AGAIN_SECONDS", 0.1)


@pytest.fixture
def echo(queue, gate):
    """A task that returns its argument once the gate is open."""

    @queue.task
    async def echo(x: int) -> int:
        await gate.wait()
        return x

    return echo


async def test_a_result_is_there_after_the_job_has_ended(echo, work, gate):
    gate.set()
    await work()
    handle = await echo.enqueue(5)
    await until_state(handle, "completed")

    assert await handle.result() == 5
    assert await handle.result(0.5) == 5


async def test_a_result_that_is_awaited_comes_when_the_job_ends(echo, work, gate):
    await work()
    handle = await echo.enqueue(5)
    (result,) = await awaited(handle)
    gate.set()

    assert await result == 5


async def test_many_wait_for_one_result(echo, work, gate):
    await work()
    handle = await echo.enqueue(5)
    results = await awaited(*[handle] * 20)
    gate.set()

    assert await asyncio.gather(*results) == [5] * 20


async def test_each_of_many_gets_its_own_result(echo, work, gate):
    gate.set()
    await work(concurrency=50)
    handles = await asyncio.gather(*(echo.enqueue(n) for n in range(500)))

    assert await asyncio.gather(*(h.result(20) for h in handles)) == list(range(500))


async def test_a_wait_ends_after_its_time_and_the_job_goes_on(echo, work, gate):
    await work()
    handle = await echo.enqueue(5)

    with pytest.raises(ResultTimeoutError, match=f"job {handle.id} did not finish within 0.05 s"):
        await handle.result(timeout=0.05)

    gate.set()
    assert await handle.result(10) == 5


@pytest.mark.parametrize("timeout", [-1, "soon", float("nan")], ids=repr)
async def test_a_time_that_cannot_be_is_refused(queue, timeout):
    handle = await queue.add()

    with pytest.raises(ValidationError, match=r"^timeout: "):
        await handle.result(timeout)


async def test_a_wait_that_is_cancelled_leaves_the_others_waiting(echo, work, gate):
    await work()
    handle = await echo.enqueue(5)
    first, second = await awaited(handle, handle)
    first.cancel()
    gate.set()

    assert await second == 5
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_a_failed_jobs_result_is_the_error_that_ended_it(queue, work):
    @queue.task(attempts=2)
    async def fails() -> None:
        raise KeyError("missing")

    handle = await fails.enqueue()
    (result,) = await awaited(handle)
    await work()

    for error in (result, handle.result(10)):
        with pytest.raises(JobFailedError, match="KeyError: 'missing'") as caught:
            await error
        assert (caught.value.error_type, caught.value.reason) == ("KeyError", "'missing'")
        assert caught.value.job_id == handle.id


async def test_the_result_of_a_job_that_was_cancelled_before_it_ran(queue):
    handle = await queue.add()
    (result,) = await awaited(handle)
    await handle.cancel()

    for error in (result, handle.result(10)):
        with pytest.raises(JobCancelledError, match="was cancelled: cancelled on request"):
            await error


async def test_the_result_of_a_job_that_was_removed(queue):
    handle = await queue.add()
    (result,) = await awaited(handle)
    await handle.remove()

    for error in (result, handle.result(10)):
        with pytest.raises(JobRemovedError, match=f"job {handle.id} is no longer in queue 'q'"):
            await error


@pytest.mark.parametrize("how", ["drain", "obliterate", "clean"])
async def test_the_result_of_a_job_that_went_with_many(queue, how, looks_again_soon):
    handle = await queue.add()
    (result,) = await awaited(handle)
    match how:
        case "drain":
            await queue.drain()
        case "obliterate":
            await queue.obliterate()
        case "clean":
            await queue.clean(0, "waiting")

    with pytest.raises(JobRemovedError):
        await result


async def test_every_way_a_job_can_end_badly_is_a_joberror():
    assert {JobFailedError, JobCancelledError, JobRemovedError, ResultTimeoutError} == set(
        JobError.__subclasses__()
    )


@pytest.mark.parametrize("keep", [True, 0, 1, Keep(count=1), Keep(count=1, age="1h")], ids=str)
async def test_the_results_of_jobs_that_leave_no_record_come_to_those_who_wait(
    manager, echo, work, gate, keep
):
    handles = [await echo.options(remove_on_complete=keep).enqueue(n) for n in range(8)]
    results = await awaited(*handles)
    await work(concurrency=8)
    gate.set()

    assert await asyncio.gather(*results) == list(range(8))
    left = [await manager.get_job("q", handle.id) for handle in handles]
    assert sum(job is not None for job in left) == (0 if keep is True or keep == 0 else 1)


async def test_the_failure_of_a_job_that_leaves_no_record_comes_to_those_who_wait(queue, work):
    @queue.task(remove_on_fail=True)
    async def fails() -> None:
        raise KeyError("missing")

    handle = await fails.enqueue()
    (result,) = await awaited(handle)
    await work()

    with pytest.raises(JobFailedError, match="KeyError: 'missing'"):
        await result
    with pytest.raises(JobRemovedError):
        await handle.result(10)


async def test_nothing_as_the_result_of_a_job_that_leaves_no_record(queue, work):
    @queue.task(remove_on_complete=True)
    async def quiet() -> None:
        pass

    handle = await quiet.enqueue()
    (result,) = await awaited(handle)
    await work()

    assert await result is None


async def test_a_job_that_is_run_again_has_a_new_result(queue, work):
    runs = []

    @queue.task
    async def count() -> int:
        runs.append(1)
        return len(runs)

    await work()
    handle = await count.enqueue()
    assert await handle.result(10) == 1
    await handle.retry()

    await until(lambda: len(runs) == 2)
    assert (await until_state(handle, "completed")).result == 2


async def test_a_result_crosses_from_one_manager_to_another(another, settings):
    async def double(job):
        return job.data * 2

    producer, worker = another(), another()
    worker.register_processor("q", double)
    handle = await producer.add_job("q", data=4)
    (result,) = await awaited(handle)
    await worker.start_workers(settings=settings())

    assert await result == 8


async def test_a_removed_jobs_result_crosses_from_one_manager_to_another(another, settings):
    async def double(job):
        return job.data * 2

    producer, worker = another(), another()
    worker.register_processor("q", double)
    handle = await producer.add_job("q", data=4, remove_on_complete=True)
    (result,) = await awaited(handle)
    await worker.start_workers(settings=settings())

    assert await result == 8


async def test_a_wait_ends_with_its_manager(manager, queue):
    handle = await queue.add()
    (result,) = await awaited(handle)

    await manager.shutdown()

    with pytest.raises(StoreUnavailableError, match="closed"):
        await result


async def test_an_ending_is_heard_even_if_thousands_of_others_came_between(
    manager, queue, looks_again_soon
):
    """A loop that stood still while others worked finds the record of events trimmed."""
    handle = await queue.add()
    (result,) = await awaited(handle)
    thread = threading.Thread(target=lambda: asyncio.run(complete_and_bury(manager, queue)))
    thread.start()
    thread.join()  # the loop that waits stands still meanwhile

    assert await result == 5


async def happened(manager, queue):
    """Return all events that the store still has of a queue."""
    news = await manager.engine.events.read({queue.ref: "0"})
    return news[queue.ref].records if news else []


async def complete_and_bury(manager, queue):
    """End the only job, then let more happen than the store remembers."""
    found = await manager.engine.exchange(queue.ref, (), Fetch(1, "worker", 10_000))
    (lease,) = found.leases
    await manager.engine.exchange(queue.ref, [Complete(lease, "5")], None)
    while lease.id in [e.job_id for e in await happened(manager, queue)]:
        await manager.add_bulk(queue.name, [{}] * 1000)
        await asyncio.gather(*(manager.engine.add(queue.ref, [small()]) for _ in range(100)))


def small():
    return NewJob(new_id(), "n", "null", JobOptions(), "{}")


async def test_a_job_that_has_not_run_has_reported_nothing(queue):
    handle = await queue.add()

    assert await handle.progress() is None
    assert await handle.logs() == []


async def test_progress_is_seen_while_the_job_runs(manager, queue, work, gate):
    async def process(job):
        job.progress(10)
        job.progress({"percent": 50})
        job.log("half")
        await gate.wait()

    manager.register_processor("q", process)
    await work()
    handle = await queue.add()

    assert await until(handle.progress) == {"percent": 50}
    assert await until(handle.logs) == ["half"]
    assert await handle.state() is JobState.ACTIVE
    gate.set()
    await handle.result(10)


@pytest.mark.parametrize("value", [float("nan"), {1: 2}, object], ids=str)
async def test_progress_that_is_no_json_is_refused_where_it_is_reported(manager, work, value):
    async def process(job):
        job.progress(value)

    manager.register_processor("q", process)
    await work()
    handle = await manager.add_job("q")

    with pytest.raises(JobFailedError, match="ValidationError: progress"):
        await handle.result(10)
