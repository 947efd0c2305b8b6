"""Toril beside BullMQ 5, which moves the jobs of a queue to another list while it is paused.

BullMQ 5 renames `wait` to `paused` and back, and a rename overwrites the list that is there. So
while a queue is paused, jobs must go to where BullMQ 5 would put them.
"""

import itertools
import time
from uuid import uuid4

import pytest
import pytest_asyncio
from redis import Redis

from tests.interop.agent import Node
from tests.interop.handlers import Gate
from tests.interop.waiting import until
from toril import QueueManager, Settings, WorkerSettings

pytestmark = pytest.mark.asyncio(loop_scope="module")

SIDES = ["toril", "5.81", "5.10"]
SOON_MS = 300

UNSEEN = pytest.mark.xfail(
    strict=True,
    reason="Toril cannot know of a BullMQ before 5.22, which leaves no version in the queue",
)
UNSEEN_ORDERS = {
    ("toril", "5.10", "5.10"),
    ("toril", "5.10", "5.10", "toril"),
    ("toril", "5.10", "5.10", "5.10"),
}


def orders(n):
    """Return all ways to give n steps to the sides; those that lose jobs are marked."""
    return [
        pytest.param(*sides, marks=UNSEEN if sides in UNSEEN_ORDERS else ())
        for sides in itertools.product(SIDES, repeat=n)
    ]


class Ours:
    """One queue, as Toril uses it."""

    def __init__(self, manager, name):
        self._manager = manager
        self._queue = manager.queue(name)
        self._gate = Gate()

    async def pause(self):
        await self._queue.pause()

    async def resume(self):
        await self._queue.resume()

    async def add(self, name, job_id, *, data=None, delay_ms=0, attempts=1):
        await self._queue.add(
            name, data or {}, job_id=job_id, delay=delay_ms / 1000, attempts=attempts, backoff=None
        )

    async def retry(self, job_id):
        await self._queue.handle(job_id).retry()

    async def promote(self, job_id):
        await self._queue.handle(job_id).promote()

    async def work(self):
        self._manager.register_processor(self._queue.name, self._gate.process)
        settings = WorkerSettings(concurrency=1, grace=2, report_every=0)
        await self._manager.start_workers(queues=[self._queue.name], settings=settings)

    async def release(self):
        self._gate.release()

    async def end(self):
        self._gate.take_away()
        await self._manager.shutdown()


class Theirs:
    """One queue, as a BullMQ on Node uses it."""

    def __init__(self, node, name):
        self._queue = node.queue(name)
        self._works = False

    async def open(self):
        """Open the queue, as a service does when it starts: BullMQ writes its version then."""
        await self._queue.call("isPaused")

    async def pause(self):
        await self._queue.call("pause")

    async def resume(self):
        await self._queue.call("resume")

    async def add(self, name, job_id, *, data=None, delay_ms=0, attempts=1):
        await self._queue.add(name, data or {}, jobId=job_id, delay=delay_ms, attempts=attempts)

    async def retry(self, job_id):
        await self._queue.job(job_id, "retry")

    async def promote(self, job_id):
        await self._queue.job(job_id, "promote")

    async def work(self):
        await self._queue.work(concurrency=1, drainDelay=1)
        self._works = True

    async def release(self):
        await self._queue.node.release()

    async def end(self):
        await self.release()
        if self._works:
            await self._queue.rest()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def nodes(redis_server):
    port = redis_server.port
    started = {version: await Node.start(port, version=version) for version in SIDES[1:]}
    yield started
    for node in started.values():
        await node.stop()


@pytest.fixture
def name():
    return f"q-{uuid4().hex[:8]}"


@pytest.fixture
def redis(redis_server):
    with Redis(port=redis_server.port, decode_responses=True) as client:
        yield client


@pytest_asyncio.fixture(loop_scope="module")
async def side(nodes, redis_server, name):
    """Return the queue as one side uses it; a side that is not asked for does not open it."""
    used = {}

    async def of(which):
        if which not in used:
            if which == "toril":
                manager = QueueManager(redis_server.url, settings=Settings())
                manager.register_queue(name)
                await manager.open()
                used[which] = Ours(manager, name)
            else:
                used[which] = Theirs(nodes[which], name)
                await used[which].open()
        return used[which]

    yield of
    for one in used.values():
        await one.end()


class Store:
    """What Redis has of the queue."""

    def __init__(self, redis, name):
        self._redis = redis
        self._base = f"bull:{name}:"

    def has(self, state, job_id):
        return self._redis.zscore(f"{self._base}{state}", job_id) is not None

    def is_active(self, job_id):
        return job_id in self._redis.lrange(f"{self._base}active", 0, -1)

    def waiting(self):
        return {
            *self._redis.lrange(f"{self._base}wait", 0, -1),
            *self._redis.lrange(f"{self._base}paused", 0, -1),
        }

    def completed(self):
        return set(self._redis.zrange(f"{self._base}completed", 0, -1))

    def let_succeed(self, job_id):
        """Let a job succeed when it runs the next time."""
        self._redis.hset(f"{self._base}{job_id}", "data", '{"times":0}')


@pytest.fixture
def store(redis, name):
    return Store(redis, name)


@pytest.mark.parametrize(("pauses", "acts", "resumes"), orders(3))
async def test_no_job_is_lost_whoever_pauses_acts_and_resumes(side, store, pauses, acts, resumes):
    pauser, actor, resumer = await side(pauses), await side(acts), await side(resumes)
    await actor.work()
    await actor.add("fail", "fails")
    await until(lambda: store.has("failed", "fails"))
    await actor.add("stumble", "stumbles", attempts=2)
    await until(lambda: store.is_active("stumbles"))
    await pauser.add("echo", "waited")

    await pauser.pause()
    await actor.add("echo", "added")
    store.let_succeed("fails")
    await actor.retry("fails")
    await actor.add("echo", "promoted", delay_ms=3_600_000)
    await actor.promote("promoted")
    await actor.add("echo", "due", delay_ms=SOON_MS)
    due = time.time() + SOON_MS / 1000
    await until(lambda: time.time() > due)
    await actor.release()
    await until(lambda: "stumbles" in store.waiting())
    await resumer.resume()

    everything = {"fails", "stumbles", "waited", "added", "promoted", "due"}
    await until(lambda: store.completed() == everything)
    assert store.waiting() == set()


@pytest.mark.parametrize(("pauses", "adds", "pauses_again", "resumes"), orders(4))
async def test_no_job_is_lost_if_a_queue_is_paused_twice(
    side, store, pauses, adds, pauses_again, resumes
):
    pauser, adder = await side(pauses), await side(adds)
    again, resumer = await side(pauses_again), await side(resumes)
    await pauser.add("echo", "first")

    await pauser.pause()
    await adder.add("echo", "second")
    await again.pause()
    await adder.add("echo", "third")
    await resumer.resume()

    assert store.waiting() == {"first", "second", "third"}


@pytest.mark.parametrize("works", SIDES)
@pytest.mark.parametrize("pauses", SIDES)
async def test_a_paused_queue_runs_nothing_whoever_paused_it(side, store, pauses, works):
    pauser, worker = await side(pauses), await side(works)
    await worker.work()
    await worker.add("stumble", "stumbles", attempts=2)
    await until(lambda: store.is_active("stumbles"))

    await pauser.pause()
    await worker.add("echo", "added")
    await worker.release()
    await until(lambda: "stumbles" in store.waiting())
    await pauser.resume()

    await until(lambda: store.completed() == {"stumbles", "added"})


@pytest.mark.parametrize(("pauses", "resumes"), orders(2))
async def test_a_parent_that_its_child_releases_while_its_queue_is_paused_is_not_lost(
    side, nodes, store, name, pauses, resumes
):
    pauser, resumer, ours = await side(pauses), await side(resumes), await side("toril")
    await pauser.add("echo", "waited")
    version = next((one for one in (pauses, resumes) if one != "toril"), "5.81")
    await nodes[version].flow(
        "add",
        {
            "name": "echo",
            "queueName": name,
            "opts": {"jobId": "parent"},
            "children": [{"name": "echo", "queueName": f"{name}-kids", "opts": {"jobId": "kid"}}],
        },
    )

    await pauser.pause()
    children = await side_of_children(ours, name)
    await until(lambda: "parent" in store.waiting())
    await resumer.resume()

    assert store.waiting() == {"waited", "parent"}
    await children.release()


async def side_of_children(ours, name):
    """Let Toril run the children."""
    children = Ours(ours._manager, f"{name}-kids")
    await children.work()
    return children


async def test_toril_names_the_queues_that_bullmq_5_uses(side, redis_server, name):
    await side("toril")
    await side("5.81")

    async with QueueManager(redis_server.url, settings=Settings()) as manager:
        (found,) = [one for one in await manager.examine() if one.check == "bullmq"]

    assert name in found.message or "more" in found.message
    assert found.message.startswith("BullMQ 5 uses ")
