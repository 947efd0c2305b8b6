"""The producer's side: what is stored, and in how many calls."""

import asyncio
import time

import pytest

from toril import (
    ConflictError,
    Deduplication,
    JobAdded,
    JobState,
    NotFoundError,
    PartlyAddedError,
    QueueManager,
    Settings,
    StoreFullError,
    ValidationError,
)
from toril.engine.sqlite import SqliteEngine
from toril.model.durations import LATEST_MS


class CountingEngine(SqliteEngine):
    """The real engine, which writes down how many jobs came with each call."""

    def __init__(self):
        super().__init__(None)
        self.adds = []

    async def add(self, queue, jobs, batch=None):
        self.adds.append(len(jobs))
        return await super().add(queue, jobs, batch)


@pytest.fixture
async def engine():
    engine = CountingEngine()
    yield engine
    await engine.close()


# Natural batching


async def test_a_hundred_adds_at_once_share_a_few_calls(engine):
    manager = QueueManager(engine=engine, settings=Settings())
    handles = await asyncio.gather(*(manager.add_job("q", data=n) for n in range(100)))

    assert sum(engine.adds) == 100
    assert len(engine.adds) <= 5
    assert [(await handle.job()).data for handle in handles] == list(range(100))


async def test_tasks_and_plain_jobs_share_calls_too(engine):
    queue = QueueManager(engine=engine, settings=Settings()).register_queue("q")

    @queue.task
    async def task(x: int) -> int: ...

    await asyncio.gather(*(task.enqueue(n) for n in range(50)), *(queue.add() for _ in range(50)))

    assert sum(engine.adds) == 100
    assert len(engine.adds) <= 5


async def test_a_bulk_is_one_call(engine):
    manager = QueueManager(engine=engine, settings=Settings())

    await manager.add_bulk("q", [{"data": n} for n in range(3000)])

    assert engine.adds == [3000]


# All or nothing


@pytest.mark.parametrize(
    ("job", "field"),
    [
        ({"name": ""}, "jobs[2].name"),
        ({"name": 5}, "jobs[2].name"),
        ({"data": float("nan")}, "jobs[2].data"),
        ({"data": {"a": [1, ...]}}, "jobs[2].data.a[1]"),
        ({"options": {"attempts": 0}}, "jobs[2].attempts"),
        ({"options": {"attemps": 1}}, "jobs[2].attemps"),
        ({"options": {"job_id": "a:b"}}, "jobs[2].job_id"),
        ({"options": {"metadata": {1: 2}}}, "jobs[2].metadata"),
        ({"options": [1]}, "jobs[2].options"),
        ({"option": {}}, "jobs[2].option"),
        ({"attempts": 5}, "jobs[2].attempts"),
        ("monthly", "jobs[2]"),
        (None, "jobs[2]"),
    ],
    ids=str,
)
async def test_one_job_that_is_refused_keeps_its_whole_bulk_out(manager, job, field):
    with pytest.raises(ValidationError) as caught:
        await manager.add_bulk("q", [{"data": 1}, {"data": 2}, job, {"data": 4}])

    assert caught.value.field == field
    with pytest.raises(NotFoundError):
        await manager.queue("q").counts()


async def test_jobs_of_a_bulk_that_are_made_as_it_goes_have_each_their_own_options(manager):
    handles = await manager.add_bulk(
        "q", ({"data": n, "options": {"delay": 10 * (n + 1)}} for n in range(50))
    )

    delays = [(await handle.job()).options.delay_ms for handle in handles]
    assert delays == [10_000 * (n + 1) for n in range(50)]


async def test_jobs_of_a_bulk_may_share_their_options(manager):
    shared = {"tags": ["batch"], "attempts": 3}
    handles = await manager.add_bulk("q", [{"options": shared}, {}, {"options": shared}])

    found = [(await handle.job()).options for handle in handles]
    assert [options.attempts for options in found] == [3, 1, 3]


async def test_a_job_that_is_added_by_name_has_its_tasks_options(manager, queue):
    @queue.task("send", attempts=5, tags=["mail"], timeout="1m")
    async def send(to: str) -> None: ...

    plain = await manager.add_job("q", "send", {"to": "a"})
    other = await manager.add_job("q", "send", {"to": "a"}, attempts=2)
    bulk = await manager.add_bulk("q", [{"name": "send"}, {"name": "else"}])

    options = [(await handle.job()).options for handle in (plain, other, *bulk)]
    assert [o.attempts for o in options] == [5, 2, 5, 1]
    assert [o.tags for o in options] == [("mail",), ("mail",), ("mail",), ()]


async def test_even_the_longest_delay_is_a_point_in_time(queue):
    for too_long in (8e12, "5000w"):
        with pytest.raises(ValidationError, match=r"^delay: "):
            await queue.add(delay=too_long)
    handle = await queue.add(delay=LATEST_MS / 1000 - time.time() - 60)
    assert (await handle.job()).due_at.year == 2039


async def test_an_empty_bulk_is_no_job(manager):
    assert await manager.add_bulk("q", []) == []


async def test_a_bulk_keeps_its_order(manager, queue):
    await manager.add_bulk("q", [{"data": n} for n in range(500)])

    page = await queue.jobs("waiting", limit=500)
    assert [job.data for job in page.jobs] == list(range(500))


# What is refused


@pytest.mark.parametrize(
    ("arguments", "options", "field"),
    [
        (("q", ""), {}, "name"),
        (("q", "\ud800"), {}, "name"),
        (("q", "n", {"a": float("inf")}), {}, "data.a"),
        (("q", "n", {"a": {1: 2}}), {}, "data.a"),
        (("q", "n", "x" * 2**20), {}, "data"),
        (("q", "n"), {"prioritty": 1}, "prioritty"),
        (("q", "n"), {"timeout": 0}, "timeout"),
        (("q:", "n"), {}, "queue"),
        (("a:b:", "n"), {}, "queue"),
        ((5, "n"), {}, "queue"),
    ],
    ids=lambda value: repr(value)[:30],
)
async def test_what_is_wrong_with_a_job_is_said_by_its_field(manager, arguments, options, field):
    with pytest.raises(ValidationError) as caught:
        await manager.add_job(*arguments, **options)

    assert caught.value.field == field


async def test_a_queue_may_allow_less_or_more_than_usual(manager):
    manager.register_queue("small", max_data_bytes=10)
    manager.register_queue("large", max_data_bytes=2**22)

    with pytest.raises(ValidationError, match="more than the 10 allowed"):
        await manager.add_job("small", data="x" * 10)
    handle = await manager.add_job("large", data="x" * 2**21)
    assert len((await handle.job()).data) == 2**21


# Ids and duplicates


async def test_a_job_with_an_id_that_is_there_is_no_second_job(manager):
    first = await manager.add_job("q", "n", 1, job_id="order-5")
    again = await manager.add_job("q", "n", 2, job_id="order-5")

    assert (first.created, again.created) == (True, False)
    assert not again.deduplicated
    assert first == again
    assert len({first, again}) == 1
    assert (await again.job()).data == 1


async def test_the_same_id_in_two_queues_is_two_jobs(manager):
    ours = await manager.add_job("a", job_id="order-5")
    theirs = await manager.add_job("b", job_id="order-5")

    assert theirs.created
    assert ours != theirs


async def test_jobs_with_one_key_are_one_job_until_it_has_ended(manager, queue, work):
    @queue.task(deduplication=Deduplication.simple())
    async def task(x: int) -> int:
        return x

    first, same, other = [await task.enqueue(n) for n in (1, 1, 2)]
    assert (same.id, same.deduplicated) == (first.id, True)
    assert other.created

    await work()
    await first.result(10)
    assert (await task.enqueue(1)).created


async def test_of_a_burst_only_the_last_runs(manager, queue, work):
    @queue.task(deduplication=Deduplication.debounce(0.2, "key"))
    async def task(x: int) -> int:
        return x

    await work()
    handles = [await task.enqueue(n) for n in range(5)]

    assert await handles[-1].result(10) == 4
    assert sum((await queue.counts()).values()) == 1


async def test_a_throttled_job_is_ignored_for_a_time(queue):
    rule = Deduplication.throttle(0.2, "key")
    first = await queue.add(deduplication=rule)

    assert not (await queue.add(deduplication=rule)).created
    await asyncio.sleep(0.25)
    assert (await queue.add(deduplication=rule)).id != first.id


# Events


async def test_who_subscribed_hears_of_every_job_that_was_added(manager, queue):
    heard = []
    manager.on(JobAdded, heard.append)

    handle = await manager.add_job("q", "one", job_id="an-id")
    await manager.add_job("q", "one", job_id="an-id")
    bulk = await manager.add_bulk("q", [{"name": "two"}, {"name": "three"}])

    assert [(e.queue, e.job_id, e.name, e.created) for e in heard] == [
        (queue.ref, handle.id, "one", True),
        (queue.ref, handle.id, "one", False),
        (queue.ref, bulk[0].id, "two", True),
        (queue.ref, bulk[1].id, "three", True),
    ]


# Handles


async def test_a_handle_changes_a_job_that_has_not_started(queue):
    handle = await queue.add("n", 1)

    await handle.change_data({"new": [2]})
    await handle.change_priority("high")
    assert (await handle.job()).data == {"new": [2]}
    assert (await handle.job()).priority == 2

    await handle.change_delay("1h")
    assert await handle.state() is JobState.DELAYED
    await handle.promote()
    assert await handle.state() is JobState.PRIORITIZED

    await handle.remove()
    with pytest.raises(NotFoundError, match=f"there is no job '{handle.id}' in queue 'q'"):
        await handle.job()


@pytest.mark.parametrize(
    ("change", "error", "what"),
    [
        (lambda handle: handle.promote(), ConflictError, "is waiting and cannot be promoted"),
        (lambda handle: handle.retry(), ConflictError, "is waiting and cannot be retried"),
        (lambda handle: handle.change_data(float("nan")), ValidationError, "data: nan"),
        (lambda handle: handle.change_priority("hi"), ValidationError, "did you mean 'HIGH'"),
        (lambda handle: handle.change_delay(-1), ValidationError, "delay: -1"),
    ],
    ids=["promote", "retry", "data", "priority", "delay"],
)
async def test_what_cannot_be_done_to_a_waiting_job_is_said(queue, change, error, what):
    handle = await queue.add()

    with pytest.raises(error, match=what):
        await change(handle)


@pytest.mark.parametrize(
    "change",
    [
        lambda handle: handle.promote(),
        lambda handle: handle.retry(),
        lambda handle: handle.cancel(),
        lambda handle: handle.remove(),
        lambda handle: handle.change_data(1),
        lambda handle: handle.change_priority(1),
        lambda handle: handle.change_delay(1),
        lambda handle: handle.job(),
        lambda handle: handle.state(),
        lambda handle: handle.progress(),
    ],
    ids=[
        *("promote", "retry", "cancel", "remove", "change_data"),
        *("change_priority", "change_delay", "job", "state", "progress"),
    ],
)
async def test_a_job_that_is_not_there_is_not_found(queue, change):
    await queue.add()

    with pytest.raises(NotFoundError, match="there is no job 'nobody' in queue 'q'"):
        await change(queue.handle("nobody"))


async def test_a_running_job_is_neither_removed_nor_put_off(queue, work, started):
    @queue.task
    async def task() -> None:
        await gate.wait()

    gate = asyncio.Event()
    await work()
    handle = await task.enqueue()
    await started()

    with pytest.raises(ConflictError, match="is active and cannot be removed"):
        await handle.remove()
    with pytest.raises(ConflictError, match="is active: only its data can be changed"):
        await handle.change_delay(5)
    gate.set()
    await handle.result(10)
    with pytest.raises(ConflictError, match="is completed and cannot be cancelled"):
        await handle.cancel()


async def test_handles_say_what_they_hold(queue):
    handle = await queue.add()

    assert repr(handle) == f"<JobHandle {handle.id} in q>"
    assert handle.queue == queue.ref
    assert handle != handle.id
    assert handle == queue.handle(handle.id)


async def test_more_jobs_than_one_call_may_add_are_refused_before_anything_is_added(manager):
    await manager.add_job("q")
    with pytest.raises(ValidationError, match="chunked=True"):
        await manager.add_bulk("q", [{"data": n} for n in range(5_001)])

    assert sum((await manager.queue("q").counts()).values()) == 1


async def test_any_number_of_jobs_is_added_in_chunks(manager):
    handles = await manager.add_bulk("q", [{"data": n} for n in range(5_001)], chunked=True)

    assert len(handles) == 5_001
    assert (await manager.queue("q").counts())[JobState.WAITING] == 5_001
    assert (await handles[5_000].job()).data == 5_000


async def test_a_chunk_that_fails_names_the_jobs_that_were_added():
    class Fails(SqliteEngine):
        calls = 0

        async def add(self, queue, jobs, batch=None):
            self.calls += 1
            if self.calls == 3:
                raise StoreFullError("no room")
            return await super().add(queue, jobs, batch)

    manager = QueueManager(engine=Fails(None), settings=Settings())
    with pytest.raises(PartlyAddedError, match=r"2,000 of 2,500 jobs were added") as caught:
        await manager.add_bulk("q", [{"data": n} for n in range(2_500)], chunked=True)

    assert len(caught.value.handles) == 2_000
    assert (await manager.queue("q").counts())[JobState.WAITING] == 2_000
    await manager.shutdown()
