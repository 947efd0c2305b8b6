"""Looking at a queue's jobs and controlling them, as operators and applications do."""

import asyncio

import pytest

from tests.worker import jobs
from tests.worker.waiting import failure_of, until_state
from toril import ConflictError, JobState, NotFoundError, ValidationError


@pytest.fixture
def fails(queue):
    return queue.task("fails")(jobs.raise_value_error)


@pytest.fixture
def double(queue):
    return queue.task("double")(jobs.double)


# Listings


async def test_jobs_are_listed_a_page_at_a_time(manager, queue):
    await manager.add_bulk("q", [{"data": n} for n in range(25)])
    found, cursor = [], None
    while True:
        page = await queue.jobs("waiting", limit=10, cursor=cursor)
        found += [job.data for job in page.jobs]
        cursor = page.cursor
        if cursor is None:
            break

    assert found == list(range(25))


async def test_all_jobs_can_be_gone_through(manager, queue):
    handles = await manager.add_bulk("q", [{"data": n} for n in range(2500)])

    found = [job.id async for job in queue.each()]

    assert sorted(found) == sorted(handle.id for handle in handles)


async def test_a_listing_is_narrowed_by_name_and_by_tag(manager, queue):
    await manager.add_bulk(
        "q",
        [{"name": f"n{n % 3}", "data": n, "options": {"tags": [f"t{n % 2}"]}} for n in range(12)],
    )

    assert [job.data for job in (await queue.jobs(name="n1")).jobs] == [1, 4, 7, 10]
    assert [job.data for job in (await queue.jobs("waiting", tag="t0")).jobs] == [0, 2, 4, 6, 8, 10]
    assert [job.data async for job in queue.each(name="n1", tag="t0")] == [4, 10]


@pytest.mark.parametrize("limit", [0, -1, 1001])
async def test_a_page_has_1_to_1000_jobs(queue, limit):
    await queue.add()

    with pytest.raises(ValidationError, match=r"^limit: "):
        await queue.jobs(limit=limit)


@pytest.mark.parametrize("state", ["wating", "dead", "paused", "", None, 5], ids=repr)
async def test_a_state_that_no_job_can_have_is_answered_with_those_that_are(queue, state):
    await queue.add()

    with pytest.raises(
        ValidationError, match=r"state: must be one of waiting, prioritized, delayed"
    ):
        await queue.clean(0, state)


@pytest.mark.parametrize("cursor", ["", "x", "[1]", '["a","b","c"]', "5"])
async def test_a_cursor_that_is_none_is_refused(queue, cursor):
    await queue.add()

    with pytest.raises(ValidationError, match=r"^cursor: "):
        await queue.jobs("waiting", cursor=cursor)


# Queues that are not there


@pytest.mark.parametrize(
    "ask",
    [
        lambda queue: queue.counts(),
        lambda queue: queue.metrics(),
        lambda queue: queue.info(),
        lambda queue: queue.jobs(),
        lambda queue: queue.pause(),
        lambda queue: queue.resume(),
        lambda queue: queue.drain(),
        lambda queue: queue.clean(),
        lambda queue: queue.obliterate(),
        lambda queue: queue.retry_jobs(),
        lambda queue: queue.handle("id").cancel(),
    ],
    ids=[
        *("counts", "metrics", "info", "jobs", "pause", "resume", "drain", "clean", "obliterate"),
        *("retry_jobs", "handle.cancel"),
    ],
)
async def test_a_queue_that_has_not_been_made_is_not_found(queue, ask):
    with pytest.raises(NotFoundError, match="there is no queue 'q'"):
        await ask(queue)


async def test_a_queue_that_was_registered_is_there_once_the_manager_is_open(manager, queue):
    await manager.open()

    assert sum((await queue.counts()).values()) == 0
    assert (await queue.info()).paused is False


# Many jobs at once


async def test_all_failed_jobs_run_again(manager, queue, work):
    runs = []

    @queue.task
    async def flaky(n: int) -> int:
        runs.append(n)
        if len(runs) <= 30:
            raise ValueError(n)
        return n

    await work(concurrency=10)
    handles = [await flaky.enqueue(n) for n in range(30)]
    for handle in handles:
        await failure_of(handle)

    assert await queue.retry_jobs() == 30
    for handle in handles:
        await until_state(handle, JobState.COMPLETED)
    assert await queue.retry_jobs() == 0


async def test_failed_jobs_of_a_tag_run_again(queue, fails, work):
    await work()
    ours = await fails.options(tags=["a"]).enqueue()
    theirs = await fails.options(tags=["b"]).enqueue()
    for handle in (ours, theirs):
        await failure_of(handle)

    assert await queue.retry_jobs(tag="a") == 1
    assert await queue.retry_jobs(name="no such") == 0


async def test_all_delayed_jobs_are_brought_forward(queue, double, work):
    handles = [await double.options(delay="1h").enqueue(n) for n in range(5)]
    assert await queue.promote_jobs(name="double") == 5
    await work()

    assert [await handle.result(10) for handle in handles] == [0, 2, 4, 6, 8]


async def test_all_jobs_of_a_name_are_removed_but_those_that_run(manager, queue, work, started):
    gate = asyncio.Event()

    @queue.task
    async def holds() -> None:
        await gate.wait()

    running = await holds.enqueue()
    await work(concurrency=1)
    await started()
    await manager.add_bulk("q", [{"name": "holds"}] * 3 + [{"name": "other"}] * 2)

    assert await queue.remove_jobs(name="holds") == 3
    assert await running.state() is JobState.ACTIVE
    assert (await queue.counts())[JobState.WAITING] == 2
    gate.set()
    await running.result(10)


# Clearing


async def test_a_drain_takes_what_waits_and_the_delayed_only_if_asked(manager, queue):
    await manager.add_bulk("q", [{}, {"options": {"priority": 1}}, {"options": {"delay": 60}}])

    assert await queue.drain() == 2
    assert await queue.drain(delayed=True) == 1
    assert sum((await queue.counts()).values()) == 0


async def test_cleaning_takes_the_oldest_first_and_no_more_than_asked(manager, queue, work, double):
    await work(concurrency=1)
    handles = [await double.enqueue(n) for n in range(5)]
    for handle in handles:
        await handle.result(10)

    assert await queue.clean(0, limit=2) == 2
    left = [await manager.get_job("q", handle.id) is not None for handle in handles]
    assert left == [False, False, True, True, True]
    assert await queue.clean("1h") == 0
    assert await queue.clean(0, JobState.COMPLETED) == 3


async def test_what_runs_is_not_cleaned(queue):
    await queue.add()

    with pytest.raises(ConflictError, match="active jobs cannot be cleaned"):
        await queue.clean(0, "active")


@pytest.mark.parametrize("limit", [0, -1])
async def test_cleaning_none_is_not_cleaning_all(queue, limit):
    await queue.add()

    with pytest.raises(ValidationError, match=r"^limit: "):
        await queue.clean(0, "waiting", limit=limit)
    assert (await queue.counts())[JobState.WAITING] == 1


async def test_a_queue_with_running_jobs_is_obliterated_only_by_force(
    manager, queue, work, started
):
    gate = asyncio.Event()

    @queue.task
    async def holds() -> None:
        await gate.wait()

    await holds.enqueue()
    worker = await work(concurrency=1)
    await started()

    with pytest.raises(
        ConflictError,
        match=r"^queue 'q' has active jobs \(1\): wait for them to finish, or use force$",
    ):
        await queue.obliterate()
    assert await queue.obliterate(force=True) == 1
    gate.set()
    worker.stop()
    await manager.shutdown()
    assert worker.statistics.completed == 0
    assert worker.statistics.lost == 1


# Numbers


async def test_a_queues_numbers_tell_what_it_did(manager, queue, work, double):
    async def slow(job):
        await asyncio.sleep(0.02)

    manager.register_processor("q", slow)
    fails = queue.task("fails", attempts=2)(jobs.raise_value_error)
    await work()
    for n in range(3):
        await (await double.enqueue(n)).result(10)
    await (await queue.add("slow")).result(10)
    await failure_of(await fails.enqueue())

    metrics = await queue.metrics("5m")
    assert (metrics.completed, metrics.failed, metrics.retried, metrics.stalled) == (4, 1, 1, 0)
    assert metrics.error_rate == pytest.approx(1 / 5)
    assert metrics.throughput == pytest.approx(5 / metrics.window)
    assert 0 <= metrics.p50_ms <= metrics.p95_ms <= metrics.p99_ms
    assert metrics.p99_ms >= 16
    assert metrics.mean_ms > 0


async def test_numbers_of_queues_of_every_context(manager):
    manager.register_queue("q", prefix="billing")
    await manager.add_job("q")
    await manager.add_job("billing:q")

    found = await manager.get_all_metrics()
    assert [(m.prefix, m.queue, m.waiting) for m in found] == [
        ("billing", "q", 1),
        ("bull", "q", 1),
    ]
    assert (await manager.get_queue_metrics("billing:q")).prefix == "billing"


async def test_looking_at_a_queue_registers_nothing(manager):
    await manager.add_job("q")

    assert await manager.get_job("typo", "id") is None
    with pytest.raises(NotFoundError):
        await manager.get_queue_metrics("typo")
    assert [m.queue for m in await manager.get_all_metrics()] == ["q"]
