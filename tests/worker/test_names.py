"""Queues and prefixes of any letters: a name is only a name."""

import pytest

from toril import QueueManager, Settings

NAMES = ["my app", "ünïcode 🐴", "a/b?c=d&e#f", "%41", "{tag}", "*[a]", "'\"\\"]


@pytest.fixture
async def producer(manager, url):
    """The manager of another process, where the store can have one."""
    producer = manager if url == "memory://" else QueueManager(url, settings=Settings())
    yield producer
    await producer.shutdown()


@pytest.mark.parametrize("name", NAMES)
async def test_a_worker_waits_for_jobs_in_peace_whatever_its_queue_and_prefix_are_called(
    manager, producer, work, started, caplog, name
):
    async def process(job):
        return "ran"

    manager.register_queue(name, prefix=name).processor(process)
    await work()
    queue = producer.queue(f"{name}:{name}")

    for n in (1, 2):  # the second finds a worker that waits
        handle = await queue.add("a")
        await started(n)
        assert await handle.result(15) == "ran"

    assert caplog.messages == []
