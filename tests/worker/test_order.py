"""Which job runs next, and how many at once."""

import asyncio
from collections import Counter

import pytest

from tests.worker.waiting import until
from toril import JobState, Priority, QueueManager, RateLimit, Settings
from toril.engine.sqlite import SqliteEngine


class Gauge:
    """Knows how many handlers run, and how many did so at most."""

    def __init__(self):
        self.now = 0
        self.most = 0
        self.gate = asyncio.Event()

    async def __aenter__(self):
        self.now += 1
        self.most = max(self.most, self.now)

    async def __aexit__(self, *_):
        self.now -= 1


@pytest.fixture
def gauge():
    return Gauge()


# Order


async def test_jobs_run_in_the_order_in_which_they_were_added(manager, queue, work):
    ran = []

    async def process(job):
        ran.append(job.data)

    manager.register_processor("q", process)
    await manager.add_bulk("q", [{"data": n} for n in range(100)])
    await manager.run_workers(1, burst=True)

    assert ran == list(range(100))


async def test_the_more_urgent_runs_first_and_among_equals_the_older(manager):
    ran = []

    async def process(job):
        ran.append(job.data)

    manager.register_processor("q", process)
    for n, priority in enumerate(["low", "background", "critical", "high", "low", 0, "urgent"]):
        await manager.add_job("q", data=[priority, n], priority=priority)
    await manager.run_workers(1, burst=True)

    assert ran == [
        [0, 5],
        ["critical", 2],
        ["urgent", 6],
        ["high", 3],
        ["low", 0],
        ["low", 4],
        ["background", 1],
    ]


async def test_a_lifo_job_goes_before_those_that_wait(manager):
    ran = []

    async def process(job):
        ran.append(job.data)

    manager.register_processor("q", process)
    for n in range(4):
        await manager.add_job("q", data=n, lifo=n >= 2)
    await manager.run_workers(1, burst=True)

    assert ran == [3, 2, 0, 1]


async def test_an_urgent_job_that_comes_later_overtakes_those_that_wait(manager, queue, work):
    ran, gate = [], asyncio.Event()

    async def process(job):
        ran.append(job.data)
        await gate.wait()

    manager.register_processor("q", process)
    await work(concurrency=1)
    first = await queue.add(data="first", priority=Priority.LOW)
    await until(lambda: ran)
    last = await queue.add(data="last", priority=Priority.LOW)
    urgent = await queue.add(data="urgent", priority=Priority.CRITICAL)
    gate.set()
    for handle in (first, urgent, last):
        await handle.result(10)

    assert ran == ["first", "urgent", "last"]


# Concurrency


async def test_no_more_jobs_run_than_a_worker_may(manager, queue, work, gauge):
    async def process(job):
        async with gauge:
            await asyncio.sleep(0.001)

    manager.register_processor("q", process)
    await manager.add_bulk("q", [{}] * 50)
    await manager.run_workers(7, burst=True)

    assert gauge.most == 7


async def test_no_more_jobs_of_a_task_run_than_it_allows(manager, queue, work, gauge):
    others = Gauge()

    @queue.task(concurrency=2)
    async def narrow() -> None:
        async with gauge:
            await asyncio.sleep(0.001)

    @queue.task
    async def wide() -> None:
        async with others:
            await asyncio.sleep(0.001)

    await asyncio.gather(*(task.enqueue() for _ in range(20) for task in (narrow, wide)))
    await manager.run_workers(10, burst=True)

    assert gauge.most == 2
    assert others.most > 2


@pytest.mark.parametrize("workers", [1, 2])
async def test_no_more_jobs_of_a_queue_run_than_it_allows_over_all_workers(
    manager, work, gauge, workers
):
    async def process(job):
        async with gauge:
            await asyncio.sleep(0.005)

    queue = manager.register_queue("narrow", concurrency=3)
    manager.register_processor("narrow", process)
    for _ in range(workers):
        await work(concurrency=10)
    handles = await manager.add_bulk("narrow", [{}] * 30)
    for handle in handles:
        await handle.result(10)

    assert gauge.most == 3
    assert (await queue.info()).concurrency == 3


async def test_a_queues_limit_holds_over_managers_on_one_file(another, settings, gauge):
    async def process(job):
        async with gauge:
            await asyncio.sleep(0.005)

    managers = [another() for _ in range(2)]
    for manager in managers:
        manager.register_queue("narrow", concurrency=2)
        manager.register_processor("narrow", process)
        await manager.start_workers(settings=settings(concurrency=10))
    handles = await managers[0].add_bulk("narrow", [{}] * 20)
    for handle in handles:
        await handle.result(10)

    assert gauge.most == 2


# Rate limits


@pytest.mark.parametrize("workers", [1, 2])
async def test_no_more_jobs_start_in_a_window_than_the_rate_allows(manager, work, workers):
    started = []

    async def process(job):
        started.append(job.lease.started_ms)

    manager.register_queue("slow", rate_limit=RateLimit(5, per=0.3))
    manager.register_processor("slow", process)
    for _ in range(workers):
        await work(concurrency=10)
    handles = await manager.add_bulk("slow", [{}] * 12)
    for handle in handles:
        await handle.result(10)

    started.sort()
    assert len(started) == 12
    assert all(after - before >= 300 for before, after in zip(started, started[5:], strict=False))


async def test_a_worker_in_burst_waits_for_what_the_rate_limit_holds_back(manager):
    ran = []

    async def process(job):
        ran.append(job.data)

    manager.register_queue("slow", rate_limit=RateLimit(2, per=0.1))
    manager.register_processor("slow", process)
    await manager.add_bulk("slow", [{"data": n} for n in range(6)])
    await manager.run_workers(burst=True)

    assert ran == list(range(6))


async def test_a_rate_limited_queue_does_not_slow_the_others_down(manager, work):
    gate = asyncio.Event()

    async def process(job):
        gate.set()

    manager.register_queue("slow", rate_limit=RateLimit(1, per=60))
    manager.register_processor("slow", process)
    manager.register_processor("quick", process)
    await work(concurrency=2)
    slow = await manager.add_bulk("slow", [{}] * 10)
    for handle in await manager.add_bulk("quick", [{}] * 100):
        await handle.result(10)

    states = Counter([await handle.state() for handle in slow])
    assert states == {JobState.COMPLETED: 1, JobState.WAITING: 9}


# Several queues


async def test_a_queue_with_a_thousand_jobs_does_not_starve_one_with_five(manager, work):
    order = []

    async def process(job):
        order.append(job.queue)
        await asyncio.sleep(0)

    for name in ("many", "few"):
        manager.register_processor(name, process)
    await manager.add_bulk("many", [{}] * 1000)
    few = await manager.add_bulk("few", [{}] * 5)
    await work(concurrency=10)
    for handle in few:
        await handle.result(10)

    assert order.index("few") < 100
    assert order.count("many") < 900


@pytest.mark.parametrize("concurrency", [1, 2, 5])
async def test_hungry_queues_take_turns(manager, work, concurrency):
    order = []

    async def process(job):
        order.append(job.queue)
        await asyncio.sleep(0.001)

    for name in ("a", "b", "c"):
        manager.register_processor(name, process)
        await manager.add_bulk(name, [{}] * 100)
    await manager.run_workers(concurrency, burst=True)

    counts = Counter(order[:150])
    assert len(order) == 300
    assert min(counts[name] for name in "abc") >= 20


async def test_a_queue_that_comes_later_gets_its_share_of_busy_slots(manager, work):
    order, late = [], asyncio.Event()

    async def process(job):
        order.append(job.queue)
        await asyncio.sleep(0.001)

    for name in ("early", "late"):
        manager.register_processor(name, process)
    await manager.add_bulk("early", [{}] * 1000)
    await work(concurrency=2)
    await until(lambda: len(order) > 50)
    at = len(order)
    handle = await manager.add_job("late")
    await handle.result(10)
    late.set()

    assert order.index("late") - at < 200


async def test_slow_jobs_of_one_queue_do_not_keep_the_slots_of_another(manager, work):
    gate = asyncio.Event()

    async def slow(job):
        await gate.wait()

    async def quick(job):
        return "quick"

    manager.register_processor("slow", slow)
    manager.register_processor("quick", quick)
    await work(concurrency=4)
    quicks = await manager.add_bulk("quick", [{}] * 20)
    slows = await manager.add_bulk("slow", [{}] * 3)

    for handle in quicks:
        assert await handle.result(10) == "quick"
    gate.set()
    for handle in slows:
        await handle.result(10)


class CountingEngine(SqliteEngine):
    """The real engine, which counts how often it is asked for jobs."""

    def __init__(self):
        super().__init__(None)
        self.exchanges = 0

    async def exchange(self, queue, settlements, fetch):
        self.exchanges += 1
        return await super().exchange(queue, settlements, fetch)


async def test_who_has_work_but_no_slot_does_not_ask_the_store_all_the_time(settings):
    manager = QueueManager(settings=Settings(), engine=CountingEngine())

    async def process(job):
        await gate.wait()

    gate = asyncio.Event()
    async with manager:
        for name in ("a", "b", "c"):
            manager.register_processor(name, process)
            await manager.add_bulk(name, [{}] * 10)
        await manager.start_workers(settings=settings(concurrency=2))
        await asyncio.sleep(0.3)
        asked = manager.engine.exchanges
        gate.set()

    assert asked < 20


# Pausing


async def test_a_pause_lets_running_jobs_finish_and_starts_no_other(manager, queue, work, started):
    gate = asyncio.Event()

    async def process(job):
        await gate.wait()

    manager.register_processor("q", process)
    await work(concurrency=2)
    running = await manager.add_bulk("q", [{}] * 2)
    await started(2)
    waiting = await queue.add()
    await queue.pause()
    gate.set()
    for handle in running:
        await handle.result(10)

    assert await waiting.state() is JobState.WAITING
    await queue.resume()
    await waiting.result(10)


async def test_a_resume_is_heard_by_workers_of_other_managers(another, settings):
    controller, worker = another(), another()

    async def process(job):
        return "ran"

    worker.register_processor("q", process)
    handle = await controller.add_job("q")
    await controller.pause_queue("q")
    await worker.start_workers(settings=settings())
    assert await handle.state() is JobState.WAITING

    await controller.resume_queue("q")
    assert await handle.result(10) == "ran"


async def test_a_paused_queue_takes_jobs_and_makes_delayed_ones_ready(manager, queue, work):
    async def process(job): ...

    manager.register_processor("q", process)
    await manager.open()
    await queue.pause()
    await work()
    handle = await queue.add(delay=0.05)

    await until(lambda: is_waiting(handle))
    await queue.resume()
    await handle.result(10)


async def is_waiting(handle):
    return await handle.state() is JobState.WAITING


# Delays


async def test_a_delayed_job_runs_when_it_is_due_and_not_before(manager, queue, work):
    async def process(job):
        return job.lease.started_ms - job.lease.created_ms

    manager.register_processor("q", process)
    await work()
    handle = await queue.add(delay=0.2)

    assert await handle.result(10) >= 200


async def test_delayed_jobs_run_in_the_order_in_which_they_are_due(manager, queue, work):
    ran = []

    async def process(job):
        ran.append(job.data)

    manager.register_processor("q", process)
    await work(concurrency=1)
    handles = [await queue.add(data=delay, delay=delay) for delay in (0.3, 0.1, 0.2)]
    for handle in handles:
        await handle.result(10)

    assert ran == [0.1, 0.2, 0.3]


async def test_an_idle_worker_wakes_for_a_job_at_once(another, settings):
    """It would look by itself only after seconds."""
    producer, worker = another(), another()

    async def process(job): ...

    worker.register_processor("q", process)
    await worker.start_workers(settings=settings())
    await (await producer.add_job("q")).result(10)
    loop = asyncio.get_running_loop()
    waits = []
    for _ in range(5):
        started = loop.time()
        await (await producer.add_job("q")).result(10)
        waits.append(loop.time() - started)

    assert min(waits) < 1


# By key


async def test_a_tenant_with_few_jobs_does_not_wait_for_one_with_many(manager, work):
    order = []

    async def process(job):
        order.append(job.data["tenant"])

    manager.register_queue("fair", concurrency_by_key={"tenant": 3})
    manager.register_processor("fair", process)
    await manager.add_bulk("fair", [{"data": {"tenant": "large"}}] * 3000)
    small = await manager.add_bulk("fair", [{"data": {"tenant": "small"}}] * 10)
    await work(concurrency=6)
    for handle in small:
        await handle.result(20)

    assert order.count("large") < 1500  # as long as it would have waited in line: 3000


async def test_no_more_jobs_of_a_key_run_at_once_than_may(manager, work):
    most = Counter()
    running = Counter()

    async def process(job):
        tenant = job.data["tenant"]
        running[tenant] += 1
        most[tenant] = max(most[tenant], running[tenant])
        await asyncio.sleep(0.005)
        running[tenant] -= 1

    manager.register_queue("keyed", concurrency_by_key={"tenant": 2})
    manager.register_processor("keyed", process)
    jobs = [{"data": {"tenant": f"t{n % 3}"}} for n in range(60)]
    for _ in range(2):
        await work(concurrency=10)
    for handle in await manager.add_bulk("keyed", jobs):
        await handle.result(20)

    assert dict(most) == {"t0": 2, "t1": 2, "t2": 2}


async def test_a_key_at_the_limit_of_its_rate_goes_on_when_that_lets_it(manager, work):
    started = []

    async def process(job):
        started.append(job.lease.started_ms)

    manager.register_queue("keyed", rate_limit=RateLimit(20, per=1, burst=2, by="tenant"))
    manager.register_processor("keyed", process)
    await work(concurrency=10)
    jobs = [{"data": {"tenant": "a"}}] * 8
    for handle in await manager.add_bulk("keyed", jobs):
        await handle.result(20)

    started.sort()
    assert len(started) == 8
    assert started[-1] - started[0] >= 6 * 50 - 1  # two at once; the store counts whole ms


async def test_a_job_whose_key_is_at_its_limit_runs_when_another_worker_frees_it(manager, work):
    started, gate = asyncio.Event(), asyncio.Event()

    async def process(job):
        if job.data["n"] == 0:
            started.set()
            await gate.wait()

    manager.register_queue("keyed", concurrency_by_key={"tenant": 1})
    manager.register_processor("keyed", process)
    await work(concurrency=1)
    await manager.add_job("keyed", "job", {"tenant": "a", "n": 0})
    await started.wait()
    second = await manager.add_job("keyed", "job", {"tenant": "a", "n": 1})
    await work(concurrency=1)
    other = await manager.add_job("keyed", "job", {"tenant": "b", "n": 2})
    await other.result(10)
    assert await second.state() in {JobState.WAITING, JobState.PRIORITIZED}
    gate.set()

    await second.result(10)
