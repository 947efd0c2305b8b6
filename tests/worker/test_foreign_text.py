"""Text that other programs write into Redis: lone surrogates, large numbers, other encodings."""

import json

import pytest

from tests.worker import jobs
from tests.worker.kinds import KINDS, as_task
from tests.worker.waiting import until_state
from toril import JobState
from toril.engine.redis.connection.endpoint import parse
from toril.engine.redis.connection.wire import Wire

SURROGATE = r'"\ud83d"'  # what JSON.stringify writes of '😀'.slice(0, 1)


@pytest.fixture
def url(redis_server):
    yield redis_server().url
    redis_server().flush()


@pytest.fixture
async def wire(url):
    made = await Wire.open(parse(url))
    yield made
    await made.close()


async def put(wire, job_id, data, name="echo", opts="{}"):
    """Add a job as any client of Redis can."""
    fields = ("name", name, "data", data, "opts", opts, "timestamp", "1", "priority", "0")
    await wire.call("HSET", b"bull:q:" + job_id, *fields)
    await wire.call("LPUSH", "bull:q:wait", job_id)
    await wire.call("ZADD", "bull:q:marker", 0, "0")


@pytest.mark.parametrize("kind", KINDS)
async def test_a_lone_surrogate_from_javascript_passes_through_a_job(queue, work, wire, kind):
    as_task(queue, jobs.echo, kind)
    await work()
    await put(wire, b"1", f'{{"value":{SURROGATE}}}', opts=f'{{"metadata":{{"a":{SURROGATE}}}}}')
    handle = queue.handle("1")
    job = await until_state(handle, JobState.COMPLETED)

    assert job.data == {"value": "\ud83d"}
    assert job.result == job.progress == "\ud83d"
    assert await handle.result(10) == await handle.progress() == "\ud83d"
    assert await handle.logs() == ["?"]
    for field in ("returnvalue", "progress"):
        stored = await wire.call("HGET", "bull:q:1", field)
        assert stored.encode() == SURROGATE.encode()
    assert [found.id for found in (await queue.jobs()).jobs] == ["1"]


@pytest.mark.parametrize("kind", KINDS)
async def test_a_large_integer_from_javascript_passes_through_a_job(queue, work, wire, kind):
    as_task(queue, jobs.echo, kind)
    await work()
    await put(wire, b"1", '{"value":9007199254740992}')
    job = await until_state(queue.handle("1"), JobState.COMPLETED)

    assert job.result == 2**53
    assert json.loads(await wire.call("HGET", "bull:q:1", "returnvalue")) == 2**53


async def test_what_is_not_utf8_spoils_no_answer_and_is_still_reached(queue, work, wire):
    queue.task(jobs.double)
    await queue.add("double", {"x": 1})
    await put(wire, b"\xff\xfe", b'{"x":"\xff"}', name=b"\xff")
    await put(wire, b"good", '{"x":4}', name="double")
    odd = b"\xff\xfe".decode(errors="surrogateescape")

    found = {job.id: job for job in (await queue.jobs()).jobs}
    assert {odd, "good"} < found.keys()
    assert found[odd].name == "\udcff"
    await work(handler_wait=0)
    assert (await until_state(queue.handle("good"), JobState.COMPLETED)).result == 8
    assert (await until_state(queue.handle(odd), JobState.FAILED)).stalls == 0
    page = await queue.jobs(limit=1)
    while page.cursor:
        page = await queue.jobs(limit=1, cursor=page.cursor)
    await queue.handle(odd).remove()
    assert await queue.get(odd) is None


async def test_an_old_repeatable_job_is_warned_of_once(queue, work, wire, caplog):
    queue.task(jobs.double)
    await work()
    for ms in range(1, 6):
        job_id = f"repeat:5f2b9d:{ms}".encode()
        await put(wire, job_id, '{"x":4}', name="double", opts='{"repeat":{"count":1}}')
    for ms in range(1, 6):
        await until_state(queue.handle(f"repeat:5f2b9d:{ms}"), JobState.COMPLETED)

    assert caplog.text.count("has stopped") == 1
