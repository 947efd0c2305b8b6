"""What a worker does when its store does not answer: it loses no job."""

import asyncio
import contextlib
import threading

import apsw
import pytest

from tests.worker.waiting import until, until_state
from toril import (
    EngineError,
    JobState,
    LeaseLost,
    QueueManager,
    ResultTimeoutError,
    Settings,
    StoreBusyError,
    StoreFullError,
    StoreUnavailableError,
)
from toril.engine.sqlite import SqliteEngine


@pytest.fixture
def impatient(monkeypatch):
    """Connections that are made from now on wait for a lock only shortly."""
    monkeypatch.setattr("toril.engine.sqlite.storage.connection.BUSY_MS", 50)


@pytest.fixture
def locked(tmp_path):
    """Hold the store's write lock, as a program that hangs in its transaction does."""

    @contextlib.contextmanager
    def hold():
        connection = apsw.Connection(str(tmp_path / "toril.db"))
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            connection.execute("ROLLBACK")
            connection.close()

    return hold


async def test_a_producer_is_told_that_the_store_is_busy(another, impatient, locked):
    manager = another()
    await manager.open()

    with locked(), pytest.raises(StoreBusyError):
        await manager.add_job("q", job_id="order-5")

    assert (await manager.add_job("q", job_id="order-5")).created


async def test_every_add_that_shared_the_call_is_told(another, impatient, locked):
    manager = another()
    await manager.open()
    with locked():
        found = await asyncio.gather(
            *(manager.add_job("q") for _ in range(10)), return_exceptions=True
        )

    assert {type(error) for error in found} == {StoreBusyError}


async def test_what_was_finished_while_the_store_was_busy_is_settled_later(
    another, settings, impatient, locked, caplog
):
    manager, runs = another(), []
    gate = asyncio.Event()

    async def process(job):
        runs.append(job.data)
        await gate.wait()
        return job.data

    manager.register_processor("q", process)
    handles = await manager.add_bulk("q", [{"data": n} for n in range(4)])
    await manager.start_workers(settings=settings(lease=5))
    await until(lambda: len(runs) == 4)
    with locked():
        gate.set()
        await until(lambda: "retrying in" in caplog.text)

    assert [await handle.result(10) for handle in handles] == [0, 1, 2, 3]
    assert sorted(runs) == [0, 1, 2, 3]
    jobs = [await handle.job() for handle in handles]
    assert {(job.attempts_made, job.stalls) for job in jobs} == {(1, 0)}


async def test_an_idle_worker_survives_a_busy_store(another, settings, impatient, locked):
    manager = another()

    async def process(job):
        return "ran"

    manager.register_processor("q", process)
    await manager.start_workers(settings=settings(lease=0.3))
    await (await manager.add_job("q")).result(10)
    with locked():
        await asyncio.sleep(0.4)

    assert await (await manager.add_job("q")).result(10) == "ran"


async def test_a_lease_that_could_not_be_renewed_in_time_is_renewed_when_the_store_is_back(
    another, settings, impatient, locked
):
    manager, runs, lost = another(), [], []
    gate = asyncio.Event()
    manager.on(LeaseLost, lost.append)

    async def process(job):
        runs.append(job.attempt_token)
        await gate.wait()
        return len(runs)

    manager.register_processor("q", process)
    handle = await manager.add_job("q")
    await manager.start_workers(settings=settings(lease=0.2))
    await until(lambda: runs)
    with locked():
        await asyncio.sleep(0.4)
    gate.set()

    assert await handle.result(10) == 1
    job = await handle.job()
    assert (job.stalls, job.attempts_made, len(runs), lost) == (0, 1, 1, [])


class FailingEngine(SqliteEngine):
    """The real engine, some of whose calls fail before they reach the store."""

    def __init__(self):
        super().__init__(None)
        self.failures = {}

    async def exchange(self, queue, settlements, fetch):
        self._maybe_fail("exchange")
        return await super().exchange(queue, settlements, fetch)

    async def note(self, queue, notes):
        self._maybe_fail("note")
        return await super().note(queue, notes)

    async def rescue(self, queue, max_stalls, unless_within_ms=0):
        self._maybe_fail("rescue")
        return await super().rescue(queue, max_stalls, unless_within_ms)

    async def wait(self, queue, until_ms, signal):
        self._maybe_fail("wait")
        return await super().wait(queue, until_ms, signal)

    def _maybe_fail(self, call):
        if self.failures.get(call, 0) > 0:
            self.failures[call] -= 1
            raise StoreUnavailableError(f"no {call} today")


@pytest.mark.parametrize("call", ["exchange", "note", "rescue", "wait"])
async def test_calls_that_fail_now_and_then_lose_no_job(manager, settings, call):
    engine = FailingEngine()
    manager.use(engine)
    runs = []

    async def process(job):
        runs.append(job.data)
        job.log("a line")
        return job.data

    manager.register_processor("q", process)
    await manager.start_workers(settings=settings(lease=0.5))
    for n in range(3):
        engine.failures[call] = 3
        handles = await manager.add_bulk("q", [{"data": [n, m]} for m in range(20)])
        assert [await handle.result(10) for handle in handles] == [[n, m] for m in range(20)]

    assert len(runs) == 60


@pytest.mark.parametrize("url", ["memory://"])
async def test_a_store_that_is_closed_under_a_worker_does_not_keep_it_from_ending(
    manager, queue, work, started
):
    @queue.task
    async def task() -> str:
        await gate.wait()
        return "ran"

    gate = asyncio.Event()
    await work(grace=0.1)
    await task.enqueue()
    await started()
    await manager.engine.close()
    gate.set()

    async with asyncio.timeout(15):
        with contextlib.suppress(EngineError):
            await manager.shutdown()


async def test_a_full_store_is_said_to_the_producer_and_jobs_that_are_there_still_run(
    another, settings
):
    manager = another()

    async def process(job):
        return job.data

    manager.register_processor("q", process)
    handle = await manager.add_job("q", data="small")
    await manager.engine._storage.writer.synced(allow_forty_pages)

    with pytest.raises(StoreFullError):
        await manager.add_bulk("q", [{"data": "x" * 100_000}] * 2)
    await manager.start_workers(settings=settings())

    assert await handle.result(10) == "small"
    assert sum((await manager.queue("q").counts()).values()) == 1


def allow_forty_pages(tx):
    """Let the store grow by a few pages only, as a full disk would."""
    tx.value(f"PRAGMA max_page_count = {tx.value('PRAGMA page_count') + 40}")


async def test_jobs_that_were_promised_are_there_after_the_process_has_gone(another, file_url):
    manager = another()
    handles = await manager.add_bulk("q", [{"data": n} for n in range(10)])
    await manager.shutdown()

    later = another()
    jobs = [await later.get_job("q", handle.id) for handle in handles]
    assert [(job.data, job.state) for job in jobs] == [(n, JobState.WAITING) for n in range(10)]


async def test_many_threads_and_loops_on_one_engine_lose_nothing(manager, queue, work):
    done = []

    async def process(job):
        done.append(job.data)

    manager.register_processor("q", process)
    await work(concurrency=10)

    async def add(base):
        await asyncio.gather(*(queue.add(data=base + n) for n in range(50)))

    threads = [
        threading.Thread(target=lambda base=base: asyncio.run(add(base))) for base in (0, 50, 100)
    ]
    for thread in threads:
        thread.start()
    await until(lambda: len(done) == 150)
    for thread in threads:
        thread.join()

    assert sorted(done) == list(range(150))
    last = await queue.add(data=150)
    await until_state(last, JobState.COMPLETED)


class TakesNoSettlements(SqliteEngine):
    """An engine that answers fetches, but refuses settlements for as long as it is told to."""

    is_refusing = True

    async def exchange(self, queue, settlements, fetch):
        if settlements and self.is_refusing:
            raise StoreUnavailableError("settlements are refused")
        return await super().exchange(queue, settlements, fetch)


async def test_a_worker_whose_settlements_fail_takes_no_further_jobs(settings):
    engine = TakesNoSettlements(None)
    manager = QueueManager(engine=engine, settings=Settings())
    queue = manager.register_queue("q")
    started = []

    @queue.task
    async def task(n: int) -> int:
        started.append(n)
        return n

    handles = [await task.enqueue(n) for n in range(100)]
    worker = await manager.start_workers(settings=settings(concurrency=4))
    with pytest.raises(ResultTimeoutError):
        await handles[0].result(1)
    assert len(started) <= 8  # two exchanges were in flight when the first one failed

    engine.is_refusing = False
    assert [await handle.result(20) for handle in handles] == list(range(100))
    assert (worker.statistics.completed, worker.statistics.lost) == (100, 0)
    await manager.shutdown()
