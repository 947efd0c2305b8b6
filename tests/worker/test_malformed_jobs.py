"""Malformed jobs in Redis: they end by themselves, and no other job notices."""

import asyncio
import json
import random

import pytest
from msgspec.structs import replace

from tests.worker.malformed import DEEP, Malformer, Raw
from tests.worker.waiting import failure_of, until
from toril import JobState
from toril.admin.documents import job_document
from toril.model.job import NewJob, QueueRef
from toril.model.job_options import DEFAULT_OPTIONS, encode_options
from toril.model.settlement import Complete, FollowUp, follow_up_id

JOBS = 300


@pytest.fixture
def url(redis_server):
    server = redis_server()
    yield server.url
    server.flush()


@pytest.fixture
def raw(url):
    connection = Raw(int(url.rpartition(":")[2].partition("/")[0]))
    yield connection
    connection.close()


@pytest.mark.timeout(110)
@pytest.mark.parametrize("seed", range(3))
async def test_malformed_jobs_end_and_take_no_other_job_along(queue, work, raw, seed):
    malformer = Malformer(raw, "bull:q:", random.Random(seed))

    async def good(n: int) -> int:
        return n

    task = queue.task("good", attempts=1)(good)
    worker = await work(concurrency=20, lease=1, max_stalls=10, handler_wait=0)
    handles = []
    for n in range(JOBS):
        await asyncio.to_thread(malformer.put, f"bad{n}")
        handles.append(await task.enqueue(n))

    assert [await handle.result(100) for handle in handles] == list(range(JOBS))
    await until(lambda: is_done(queue))
    assert worker.statistics.lost == 0
    left = raw.send([("EXISTS", f"bull:q:bad{n}:lock") for n in range(JOBS)])
    assert not any(left)


async def is_done(queue):
    counts = await queue.counts()
    unfinished = set(counts) - {JobState.COMPLETED, JobState.FAILED}
    return not any(counts[state] for state in unfinished)


def hash_of(job_id, **fields):
    """Return the command that writes a job's hash, with some fields different from usual."""
    known = {"name": "good", "data": '{"n":1}', "opts": "{}", "timestamp": "1", "delay": "0"}
    pairs = (known | {"priority": "0"} | fields).items()
    return ("HSET", f"bull:q:{job_id}", *[part for pair in pairs for part in pair])


def good_task(queue):
    async def good(n: int) -> int:
        return n

    return queue.task("good", attempts=1)(good)


@pytest.mark.parametrize("field", ["timestamp", "priority", "atm", "attemptsMade", "ats", "stc"])
@pytest.mark.parametrize("value", ["1700000000000.5", "x", "1e999", "nan", "-1", "9" * 30])
async def test_a_number_that_cannot_be_read_stops_no_worker(queue, work, raw, field, value):
    task = good_task(queue)
    handles = [await task.enqueue(n) for n in range(3)]
    raw.send([hash_of("odd", **{field: value}), ("RPUSH", "bull:q:wait", "odd")])

    worker = await work()

    assert await queue.handle("odd").result(20) == 1
    assert [await handle.result(20) for handle in handles] == [0, 1, 2]
    assert worker.statistics.lost == 0
    assert (await queue.handle("odd").job()).state is JobState.COMPLETED


@pytest.mark.parametrize("options", [{}, {"removeOnComplete": True}, {"removeOnFail": True}])
async def test_tags_that_are_no_list_do_not_keep_a_job_from_ending(queue, work, raw, options):
    task = good_task(queue)
    opts = json.dumps({"tags": "urgent", **options})
    raw.send([hash_of("odd", opts=opts), ("RPUSH", "bull:q:wait", "odd")])
    handle = await task.enqueue(7)

    worker = await work()

    assert await handle.result(20) == 7
    await until(lambda: is_done(queue))
    assert worker.statistics.completed == 2


async def test_a_key_that_holds_no_job_is_put_aside_and_its_neighbours_run(queue, work, raw):
    task = good_task(queue)
    handles = [await task.enqueue(n) for n in range(9)]
    raw.send([("SET", "bull:q:odd", "precious"), ("RPUSH", "bull:q:wait", "odd")])

    await work()

    assert [await handle.result(20) for handle in handles] == list(range(9))
    odd = queue.handle("odd")
    failure = await failure_of(odd)
    assert "its key held a string" in str(failure)
    assert (await queue.engine.jobs.raw(queue.ref, "odd"))["unreadable"] == "precious"


async def test_the_keys_of_a_queue_are_never_taken_for_jobs(queue, work, raw):
    task = good_task(queue)
    handle = await task.enqueue(1)
    keys = ["meta", "id", "wait", "active", "completed", "events", "marker", "repeat", "1:lock"]
    raw.send([("SET", "bull:q:1:lock", "x"), ("RPUSH", "bull:q:wait", *keys)])

    await work()

    assert await handle.result(20) == 1
    await until(lambda: is_done(queue))
    counts = await queue.counts()
    assert (counts[JobState.COMPLETED], counts[JobState.FAILED]) == (1, 0)


async def test_an_id_that_stands_in_the_list_twice_runs_once(queue, work, raw):
    runs = []

    @queue.task("good")
    async def good(n: int) -> None:
        runs.append(n)
        await asyncio.sleep(0.05)

    raw.send([hash_of("twice"), ("RPUSH", "bull:q:wait", "twice", "twice", "twice")])
    worker = await work()

    await queue.handle("twice").result(20)
    await until(lambda: is_done(queue))
    assert runs == [1]
    assert worker.statistics.lost == 0


async def test_malformed_jobs_are_listed_shown_moved_and_removed(queue, raw):
    await good_task(queue).enqueue(1)
    dice = random.Random(5)
    malformer = Malformer(raw, "bull:q:", dice)
    for n in range(200):
        await asyncio.to_thread(malformer.put, f"bad{n}")
    ids = [f"bad{n}" for n in range(200)]
    jobs = queue.engine.jobs

    page = await queue.jobs(limit=1000)
    assert len(page.jobs) > 150
    for job in page.jobs:
        assert json.dumps(job_document(job))
        assert await jobs.raw(queue.ref, job.id)
    await jobs.promote(queue.ref, ids)
    await jobs.cancel(queue.ref, ids[:40])
    await jobs.retry(queue.ref, ids[:40])
    await jobs.remove(queue.ref, ids[40:80])
    await queue.clean(0, state="waiting")
    await queue.drain(delayed=True)
    await queue.obliterate(force=True)
    left = raw.send([("KEYS", "bull:q:bad*")])[0]
    assert [key for key in left if not key.endswith(b":lock")] == []  # no job here had a lock


async def test_a_settlement_that_the_store_rejects_holds_up_no_other(manager, queue, work, raw):
    task = good_task(queue)
    raw.send([("SET", "bull:broken:wait", "no list")])

    def hook(settlement):
        if isinstance(settlement, Complete) and settlement.result_json == "3":
            options = encode_options(DEFAULT_OPTIONS)
            job = NewJob(follow_up_id(settlement.lease), "next", "{}", DEFAULT_OPTIONS, options)
            follow_up = FollowUp(QueueRef("bull", "broken"), job)
            return replace(settlement, then=(follow_up,))
        return settlement

    manager._hooks.append(hook)
    handles = [await task.enqueue(n) for n in range(9)]
    worker = await work()

    for n, handle in enumerate(handles):
        if n == 3:
            assert "the store rejected the job's outcome" in str(await failure_of(handle))
        else:
            assert await handle.result(20) == n
    assert worker.statistics.lost == 0
    assert await (await task.enqueue(10)).result(20) == 10


@pytest.mark.parametrize("errors", ["1e999", "nan", DEEP, "}{", '{"attempt":"x"}'], ids=range(5))
@pytest.mark.parametrize("made", ["31", "0x1F"])
async def test_errors_that_cannot_be_read_do_not_keep_a_job_from_failing(
    queue, work, raw, errors, made
):
    @queue.task("good")
    async def bad(n: int) -> None:
        raise LookupError(n)

    fields = {"errors": errors, "stacktrace": f"[{errors}]", "atm": made}
    raw.send([hash_of("odd", **fields), ("RPUSH", "bull:q:wait", "odd")])
    worker = await work()

    assert "1" in str(await failure_of(queue.handle("odd")))
    assert worker.statistics.lost == 0


async def test_settings_of_a_queue_that_cannot_be_read_limit_nothing(queue, work, raw):
    task = good_task(queue)
    await task.enqueue(0)
    settings = ("concurrency", "x", "max", "y", "duration", "z", "opts.maxLenEvents", "many")
    raw.send([("HSET", "bull:q:meta", *settings)])

    handles = [await task.enqueue(n) for n in range(9)]
    handles.append(await task.options(delay=0.01, tags=["t"]).enqueue(9))
    await work()

    assert [await handle.result(20) for handle in handles] == list(range(10))
    assert (await queue.info()).concurrency is None
