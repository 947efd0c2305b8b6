"""One worker for many queues: none is late, and none keeps the others from their turn."""

import asyncio

import pytest

from tests.worker.waiting import until
from toril import QueueManager, Settings
from toril.engine.contract.hot_path import Fetch

PROMPT = 2
"""Seconds: a queue whose wake-up was lost would be looked at after five."""

NAMES = [f"q{n:02}" for n in range(40)]


@pytest.fixture
def ran(manager):
    """The queues whose jobs ran, in their order."""
    found = []

    async def process(job):
        found.append(job.queue)
        return job.queue

    for name in NAMES:
        manager.register_processor(name, process)
    return found


@pytest.fixture
async def producer(manager, url):
    """A manager of its own, as another process would have it, where the store allows that."""
    if not manager.engine.capabilities.shared:
        yield manager
        return
    async with QueueManager(url, settings=Settings()) as made:
        yield made


async def is_idle(worker):
    """Wait until every queue of a worker waits for work."""
    await until(lambda: worker._pumps and all(pump._idle.is_idle for pump in worker._pumps))
    await asyncio.sleep(0.05)  # the store hears of the last of them


async def test_a_job_in_any_of_many_idle_queues_runs_at_once(producer, ran, work):
    worker = await work(concurrency=4)
    await is_idle(worker)

    for name in (NAMES[-1], NAMES[0], NAMES[20]):
        handle = await producer.add_job(name)
        assert await handle.result(PROMPT) == name

    assert ran == [NAMES[-1], NAMES[0], NAMES[20]]


async def test_jobs_in_all_of_many_queues_run_with_few_slots(manager, ran, work):
    worker = await work(concurrency=2)
    await is_idle(worker)

    handles = [await manager.add_job(name) for name in NAMES for _ in range(3)]

    assert [await handle.result(10) for handle in handles] == [n for n in NAMES for _ in range(3)]
    assert sorted(ran) == sorted(NAMES * 3)


async def test_a_full_queue_does_not_keep_many_others_waiting(manager, ran, work):
    await manager.add_bulk(NAMES[0], [{}] * 2000)
    for name in NAMES[1:]:
        await manager.add_job(name)
    await work(concurrency=2)

    await until(lambda: set(ran) == set(NAMES))

    assert ran.count(NAMES[0]) < 2000


async def test_a_job_whose_worker_died_is_rescued_in_any_of_many_queues(manager, ran, work):
    queue = manager.queue(NAMES[33])
    handle = await queue.add()
    await manager.open()
    died = Fetch(1, "a worker that died", 50)
    assert len((await manager.engine.exchange(queue.ref, [], died)).leases) == 1

    await work(concurrency=2, lease=0.4)

    assert await handle.result(20) == NAMES[33]
    assert (await handle.job()).stalls == 1
