"""Limits hold although a queue is removed, or its store is emptied, while a program runs."""

import asyncio

import pytest

from toril import JobState, QueueManager, Settings

EIGHT = [{"data": n} for n in range(8)]


class Gauge:
    """A processor that knows how many of its jobs ran at once."""

    def __init__(self):
        self.running = self.most = self.ran = 0

    async def __call__(self, job):
        self.running += 1
        self.most = max(self.most, self.running)
        await asyncio.sleep(0.01)
        self.running -= 1
        self.ran += 1


@pytest.fixture
def gauge():
    return Gauge()


@pytest.fixture
def limited(manager, gauge):
    """A queue that runs one job at a time."""
    queue = manager.register_queue("q", concurrency=1)
    manager.register_processor("q", gauge)
    return queue


async def run(queue, n=8):
    handles = await queue.add_bulk(EIGHT[:n])
    for handle in handles:
        await handle.result(20)


async def test_a_limit_holds_after_the_queue_was_obliterated(limited, gauge, work):
    await work(concurrency=8)
    await run(limited)
    await limited.obliterate(force=True)
    await run(limited)

    assert (gauge.ran, gauge.most) == (16, 1)
    assert (await limited.info()).concurrency == 1


async def test_a_limit_holds_after_the_manager_was_opened_again(manager, limited, gauge, work):
    for _ in range(2):
        async with manager:
            assert (await limited.info()).concurrency == 1
            await manager.pause_queue("q")
            await manager.resume_queue("q")
            await work(concurrency=8)
            await run(limited)

    assert (gauge.ran, gauge.most) == (16, 1)


async def test_opening_does_not_undo_what_was_changed_since(manager, limited):
    async with manager:
        await limited.clear_limits()
        await manager.open()
        assert (await limited.info()).concurrency is None


async def test_limits_by_key_come_back_too(manager, work):
    gauges = {"a": Gauge(), "b": Gauge()}
    queue = manager.register_queue("q", concurrency_by_key={"k": 1})

    @queue.processor
    async def process(job):
        await gauges[job.data["k"]](job)

    await work(concurrency=8)
    await (await queue.add("first", {"k": "a"})).result(20)
    await queue.obliterate(force=True)
    handles = await queue.add_bulk([{"data": {"k": key}} for key in "ab" * 4])
    for handle in handles:
        await handle.result(20)

    assert [gauge.most for gauge in gauges.values()] == [1, 1]


async def test_the_limits_of_many_queues_come_back(manager, work):
    gauges = [Gauge() for _ in range(20)]
    queues = [manager.register_queue(f"q{n}", concurrency=1) for n in range(20)]
    for queue, gauge in zip(queues, gauges, strict=True):
        queue.processor(gauge)
    await work(concurrency=40)
    for queue in queues:
        await queue.obliterate(force=True)
    await asyncio.gather(*(run(queue, 4) for queue in queues))

    assert [gauge.most for gauge in gauges] == [1] * 20


def test_limits_hold_through_the_sync_facade_too(manager, limited, gauge, settings):
    with manager.sync as jobs:
        jobs.start_workers(settings=settings(concurrency=8))
        queue = jobs.queue("q")
        for _ in range(2):
            for handle in queue.add_bulk(EIGHT):
                handle.result(20)
            queue.obliterate(force=True)

    assert (gauge.ran, gauge.most) == (16, 1)


@pytest.mark.parametrize("url", ["redis"], indirect=True)
@pytest.mark.parametrize("by_another", [False, True])
async def test_a_limit_holds_after_redis_was_emptied(
    manager, limited, gauge, work, redis_server, by_another
):
    producer = QueueManager(manager.url, settings=Settings()) if by_another else manager
    await producer.add_job("q")
    await work(concurrency=8)
    await run(limited)
    redis_server().flush()
    handles = await producer.add_bulk("q", EIGHT)
    for handle in handles:
        await handle.result(20)

    assert gauge.most == 1
    assert (await limited.info()).concurrency == 1
    assert [info.ref for info in await manager.engine.queues.all()] == [limited.ref]
    assert (await limited.counts())[JobState.COMPLETED] == 8
    if by_another:
        await producer.shutdown()


@pytest.mark.parametrize("url", ["redis"], indirect=True)
async def test_of_several_workers_none_starts_a_job_without_limits(
    manager, limited, gauge, work, redis_server, settings
):
    others = [QueueManager(manager.url, settings=Settings()) for _ in range(3)]
    for other in others:
        other.register_queue("q", concurrency=1)
        other.register_processor("q", gauge)
        await other.start_workers(settings=settings(concurrency=8))
    await work(concurrency=8)
    for _ in range(5):
        await run(limited)
        redis_server().flush()
    await run(limited)

    assert gauge.most == 1
    for other in others:
        await other.shutdown()
