"""The same for code without an event loop: every call, from any thread."""

import asyncio
import inspect
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.worker import jobs
from tests.worker.waiting import until
from toril import (
    ConfigurationError,
    ConflictError,
    JobFailedError,
    JobRemovedError,
    JobState,
    NotFoundError,
    QueueManager,
    ResultTimeoutError,
    Settings,
    StoreCorruptError,
    SyncJobHandle,
    SyncQueueManager,
    ValidationError,
)
from toril.engine.sqlite import SqliteEngine
from toril.queues.handle import JobHandle
from toril.queues.queue import Queue
from toril.queues.sync import SyncQueue


@pytest.fixture
def manager(url):
    manager = QueueManager(url, settings=Settings())
    yield manager
    manager.sync.close()


@pytest.fixture
def sync(manager):
    return manager.sync


# The whole surface


def test_everything_that_a_manager_can_be_asked_the_facade_can_too():
    ours = {name for name, _ in inspect.getmembers(QueueManager, inspect.iscoroutinefunction)}
    # `run_workers` is for a program's main thread; the facade's `close` is `shutdown`.
    expected = {n for n in ours if not n.startswith("_")} - {"run_workers", "shutdown"}

    assert expected <= set(dir(SyncQueueManager))


def test_everything_that_a_handle_can_be_asked_its_facade_can_too():
    names = {n for n in dir(JobHandle) if not n.startswith("_")} - {"queue", "deduplicated"}

    assert names <= set(dir(SyncJobHandle))


def test_everything_that_a_queue_can_be_asked_its_facade_can_too():
    ours = {name for name, _ in inspect.getmembers(Queue, inspect.iscoroutinefunction)}
    # Jobs are added through the manager; `add_jobs` and `submit` are for prepared ones.
    expected = {n for n in ours if not n.startswith("_")} - {"add", "add_bulk", "add_jobs"}

    assert expected - {"submit", "info"} <= set(dir(SyncQueue))


def test_jobs_are_added_and_looked_at(sync):
    handle = sync.add_job("q", "n", {"a": 1}, priority="high", tags=["x"])
    bulk = sync.add_bulk("q", [{"data": n} for n in range(3)])

    assert sync.get_job("q", handle.id).data == {"a": 1}
    assert handle.job().priority == 2
    assert handle.state() is JobState.PRIORITIZED
    assert (handle.created, handle.fallback) == (True, False)
    assert [b.job().data for b in bulk] == [0, 1, 2]
    assert (handle.progress(), handle.logs()) == (None, [])
    assert repr(handle) == f"<SyncJobHandle {handle.id} in q>"


def test_queues_are_looked_at_and_controlled(sync):
    handle = sync.add_job("q", tags=["x"])
    sync.add_job("q", delay=60)

    sync.pause_queue("q")
    assert sync.get_queue_metrics("q").paused
    sync.resume_queue("q")
    (metrics,) = sync.get_all_metrics()
    assert (metrics.queue, metrics.waiting, metrics.delayed, metrics.paused) == ("q", 1, 1, False)
    assert sync.clean_queue("q", 0, "completed") == 0
    assert "error" not in [finding.level for finding in sync.examine()]

    queue = sync.queue("q")
    assert queue.get(handle.id).id == handle.id
    assert [job.id for job in queue.jobs("waiting", tag="x").jobs] == [handle.id]
    assert queue.counts()[JobState.DELAYED] == 1
    assert queue.metrics().waiting == 1
    queue.pause()
    queue.resume()
    assert queue.promote_jobs() == 1
    assert queue.cancel_jobs(tag="x") == 1
    assert queue.retry_jobs() == 1
    assert queue.remove_jobs("waiting", tag="x") == 1
    assert queue.clean(0, "waiting") == 1
    sync.add_job("q", delay=60)
    assert queue.drain(delayed=True) == 1
    assert queue.obliterate() == 0
    with pytest.raises(NotFoundError):
        queue.counts()


def test_a_handle_controls_its_job(sync):
    handle = sync.add_job("q")

    handle.change_data([1])
    handle.change_priority("low")
    handle.change_delay(60)
    assert (handle.job().data, handle.job().priority) == ([1], 4)
    assert handle.state() is JobState.DELAYED
    handle.promote()
    handle.cancel()
    assert handle.state() is JobState.FAILED
    handle.retry()
    handle.remove()
    with pytest.raises(NotFoundError):
        handle.state()
    with pytest.raises(JobRemovedError):
        sync.queue("q").handle(handle.id).result(1)


def test_tasks_are_enqueued_and_run_in_the_background(manager, sync, settings):
    queue = manager.register_queue("q")
    double = queue.task(jobs.double)
    fails = queue.task(jobs.raise_value_error)
    in_a_process = queue.task(run_in="process")(jobs.double_in_a_coroutine)
    worker = sync.start_workers(settings=settings())

    assert sync.enqueue(double, 4).result(10) == 8
    assert sync.enqueue(double.options(delay=0.01), x=5).result("10s") == 10
    assert sync.enqueue(in_a_process, 6).result(10) == 12
    with pytest.raises(JobFailedError, match="ValueError: broken"):
        sync.enqueue(fails).result(10)
    assert double(2) == 4
    assert worker.settings.concurrency == 4


def test_errors_are_those_of_the_manager(sync):
    handle = sync.add_job("q")

    with pytest.raises(ValidationError, match="did you mean 'attempts'"):
        sync.add_job("q", attemps=5)
    with pytest.raises(ValidationError, match=r"jobs\[1\]\.name"):
        sync.add_bulk("q", [{}, {"name": ""}])
    with pytest.raises(ConflictError):
        handle.retry()
    with pytest.raises(ResultTimeoutError, match="did not finish within"):
        handle.result(0.01)
    with pytest.raises(NotFoundError, match="there is no queue 'typo'"):
        sync.pause_queue("typo")


@pytest.mark.parametrize(
    "call", ["pause_queue", "resume_queue", "clean_queue", "get_queue_metrics"]
)
def test_a_queue_that_is_not_there_is_not_made_by_asking_for_it(sync, call):
    sync.add_job("q")
    for _ in range(3):
        with pytest.raises(NotFoundError, match="there is no queue 'typo'"):
            getattr(sync, call)("typo")

    assert [metrics.queue for metrics in sync.get_all_metrics()] == ["q"]


# Threads


def test_it_is_used_from_many_threads_at_once(sync):
    with ThreadPoolExecutor(8) as threads:
        handles = list(threads.map(lambda n: sync.add_job("q", data=n), range(200)))

    assert len({handle.id for handle in handles}) == 200
    assert sync.queue("q").counts()[JobState.WAITING] == 200


def test_one_thread_runs_all_its_calls(sync):
    for _ in range(5):
        sync.add_job("q")

    assert [t.name for t in threading.enumerate()].count("toril-sync") == 1


def test_nothing_starts_before_the_first_call(manager):
    assert manager.sync is manager.sync
    assert "toril-sync" not in [t.name for t in threading.enumerate()]


def test_after_the_end_its_thread_has_gone_and_it_can_be_used_again(file_url):
    manager = QueueManager(file_url, settings=Settings())
    for n in range(1, 4):
        with manager.sync as sync:
            sync.add_job("q")
            assert sync.queue("q").counts()[JobState.WAITING] == n
        assert "toril-sync" not in [t.name for t in threading.enumerate()]


def test_it_ends_its_thread_even_if_a_worker_ended_with_an_error(settings):
    class Broken(SqliteEngine):
        """The real engine, but for its leases."""

        def keeper(self):
            raise StoreCorruptError("damaged")

    manager = QueueManager(settings=Settings(), engine=Broken(None))
    manager.register_processor("q", jobs.process)
    manager.sync.start_workers(settings=settings())

    with pytest.raises(StoreCorruptError, match="damaged"):
        manager.sync.close()
    assert "toril-sync" not in [t.name for t in threading.enumerate()]


# Beside an event loop


@pytest.mark.parametrize(
    "call",
    [
        lambda m: m.sync.open(),
        lambda m: m.sync.add_job("q"),
        lambda m: m.sync.add_bulk("q", [{}]),
        lambda m: m.sync.get_job("q", "id"),
        lambda m: m.sync.get_queue_metrics("q"),
        lambda m: m.sync.get_all_metrics(),
        lambda m: m.sync.pause_queue("q"),
        lambda m: m.sync.resume_queue("q"),
        lambda m: m.sync.clean_queue("q"),
        lambda m: m.sync.examine(),
        lambda m: m.sync.start_workers(),
        lambda m: m.sync.close(),
        lambda m: m.sync.enqueue(m.queue("q").tasks["double"], 1),
        lambda m: m.sync.queue("q").counts(),
        lambda m: m.sync.queue("q").handle("id").result(),
        lambda m: m.sync.__enter__(),
    ],
    ids=[
        *("open", "add_job", "add_bulk", "get_job", "get_queue_metrics", "get_all_metrics"),
        *("pause_queue", "resume_queue", "clean_queue", "examine", "start_workers", "close"),
        *("enqueue", "queue.counts", "handle.result", "with"),
    ],
)
def test_where_an_event_loop_runs_the_way_out_is_named(manager, call):
    manager.queue("q").task(jobs.double)

    async def within():
        with pytest.raises(ConfigurationError, match="this thread runs an event loop: await the"):
            call(manager)

    asyncio.run(within())


async def test_a_handler_in_a_thread_may_add_jobs(url, settings):
    async with QueueManager(url, settings=Settings()) as manager:
        queue = manager.register_queue("q")
        double = queue.task(jobs.double)

        @queue.task
        def outer(x: int) -> int:
            return manager.sync.enqueue(double, x).result(10)

        await manager.start_workers(settings=settings())

        assert await (await outer.enqueue(4)).result(10) == 8

    assert "toril-sync" not in [t.name for t in threading.enumerate()]


async def test_an_event_loop_and_the_facade_share_one_manager(url, settings):
    async with QueueManager(url, settings=Settings()) as manager:
        manager.queue("q").task(jobs.double)
        await manager.start_workers(settings=settings())
        handle = await asyncio.to_thread(manager.sync.add_job, "q", "double", {"x": 4})

        assert await asyncio.to_thread(handle.result, 10) == 8
        assert await manager.queue("q").handle(handle.id).result(10) == 8


async def test_workers_that_the_facade_started_end_with_the_manager(url, settings):
    async with QueueManager(url, settings=Settings()) as manager:
        double = manager.queue("q").task(jobs.double)
        await asyncio.to_thread(manager.sync.start_workers, settings=settings())
        assert await (await double.enqueue(4)).result(10) == 8

    await until(lambda: not any(t.name.startswith("toril") for t in threading.enumerate()))


def test_a_manager_can_be_used_without_the_facade_from_one_loop_after_another(file_url):
    manager = QueueManager(file_url, settings=Settings())

    async def add():
        async with manager:
            return await manager.add_job("q")

    handles = [asyncio.run(add()) for _ in range(3)]

    assert len({handle.id for handle in handles}) == 3
