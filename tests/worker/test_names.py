"""Names of any characters are held against every place where they are used."""

import asyncio

import pytest

from tests.redis_server import RedisServer
from tests.worker.waiting import until_state
from toril import Deduplication, JobState, QueueManager, Settings
from toril.engine.redis.connection.endpoint import parse
from toril.engine.redis.connection.wire import Wire

NAMES = {
    "a colon in the prefix": ("app:jobs", "mails"),
    "a hash tag and a colon": ("{bull}:custom", "mails"),
    "spaces and slashes": ("my app/1", "../a b/c"),
    "quotes": ("it's", "\"double\" 'single' `back`"),
    "emoji": ("🐂", "naïve 東京 🐂"),
    "control characters": ("a\tb", "one\ntwo\r\x1b[2J\x00\x7f\u2028"),
    "percent and braces": ("100%", "%s {x} %% {{y} [z] $HOME *?"),
    "long": ("p" * 300, "n" * 1_000),
}


@pytest.fixture(params=NAMES.values(), ids=NAMES)
def ref(request):
    return request.param


async def test_a_queue_of_any_name_does_all_that_queues_do(manager, work, ref):
    prefix, name = ref
    queue = manager.register_queue(name, prefix=prefix, concurrency=5)

    @queue.processor
    async def process(job):
        job.log(job.name)
        return [job.queue, job.name]

    await work(queues=[str(queue)])
    await asyncio.sleep(0)
    handle = await queue.add(name[:255], {}, tags=[name[:100]], correlation_id=name[:255],
                             job_id=f"id {name[:100]}",
                             deduplication=Deduplication.simple(name[:255]))  # fmt: skip

    assert await handle.result(10) == [name, name[:255]]
    assert await handle.logs() == [name[:255]]
    assert [job.id for job in (await queue.jobs(tag=name[:100])).jobs] == [handle.id]
    assert [m.queue for m in await manager.get_all_metrics()] == [name]
    assert (await manager.get_job(str(queue), handle.id)).state is JobState.COMPLETED
    delayed = await queue.add("later", {}, delay="1h")
    await delayed.promote()
    await until_state(delayed, JobState.COMPLETED)
    assert await queue.obliterate(force=True) == 2


async def test_a_worker_in_another_process_is_woken_for_a_queue_of_any_name(another, settings, ref):
    """Two engines on one file tell each other by datagrams which queues have work."""
    prefix, name = ref
    producer, consumer = another(), another()

    async def process(job):
        return 5

    queue = consumer.register_queue(name, prefix=prefix)
    queue.processor(process)
    await consumer.start_workers(settings=settings())
    first = await producer.queue(str(queue)).add()
    await first.result(10)
    wakes = []
    notify = consumer.engine._storage.wake.notify_local
    consumer.engine._storage.wake.notify_local = lambda topic, queues: (
        wakes.extend(queues),
        notify(topic, wakes),
    )
    await (await producer.queue(str(queue)).add()).result(10)

    assert queue.ref in wakes


async def test_a_worker_is_named_as_redis_allows(tmp_path, ref):
    prefix, name = ref
    server = RedisServer(tmp_path)
    server.start()
    manager = QueueManager(server.url, settings=Settings())
    queue = manager.register_queue(name, prefix=prefix)

    @queue.processor
    async def process(job):
        return 5

    try:
        await manager.start_workers()
        assert await (await queue.add()).result(10) == 5
        wire = await Wire.open(parse(server.url))
        assert ":w:" in await wire.call("CLIENT", "LIST")
        await wire.close()
        await manager.shutdown()
    finally:
        server.stop()


LONELY = ["my app", "ünïcode 🐴", "a/b?c=d&e#f", "%41", "{tag}", "*[a]", "'\"\\"]


@pytest.mark.parametrize("name", LONELY)
async def test_a_worker_waits_for_jobs_in_peace_whatever_its_queue_and_prefix_are_called(
    manager, work, started, caplog, name
):
    async def process(job):
        return "ran"

    manager.register_queue(name, prefix=name).processor(process)
    await work()
    queue = manager.queue(f"{name}:{name}")

    for n in (1, 2):  # the second finds a worker that waits
        handle = await queue.add("a")
        await started(n)
        assert await handle.result(15) == "ran"

    assert caplog.messages == []
