"""Jobs that another program wrote, or another version: a worker takes them, or fails them."""

import pytest

from tests.worker import jobs
from tests.worker.waiting import failure_of, until
from toril import JobOptions, JobState
from toril.model.job import NewJob

UNREADABLE = [
    '{"attempts":"x"}',
    '{"attempts":null}',
    '{"priority":"high","delay":"x"}',
    '{"backoff":{"type":"exponential","delay":1,"jitter":5}}',
    '{"backoff":{"type":5,"delay":"x"}}',
    '{"removeOnComplete":"x","removeOnFail":{"count":"x"}}',
    '{"timeout":"x"}',
    '{"ttl":[]}',
    '{"tags":5}',
    '{"tags":[5]}',
    '{"metadata":5}',
    '{"de":{"id":5,"ttl":"x"}}',
    '{"lifo":"x","correlationId":5}',
    "[]",
    "5",
    "{",
    "",
    "[" * 100_000 + "]" * 100_000,
    '{"attempts":' * 100_000 + "1" + "}" * 100_000,
]


@pytest.fixture
def url():
    """How a job is read is the same whatever the store."""
    return "memory://"


async def add(queue, options_json="{}", data="{}", name="double"):
    """Put a job into the store as it is, as another program would."""
    job = NewJob(f"foreign-{name}", name, data, JobOptions(), options_json)
    await queue.engine.add(queue.ref, [job])
    return queue.handle(job.id)


@pytest.mark.parametrize("options", UNREADABLE, ids=lambda text: text[:40])
async def test_options_that_cannot_be_read_take_no_other_job_along(queue, work, options):
    double = queue.task(jobs.double)
    worker = await work(lease=0.6)
    handle = await add(queue, options, '{"x":4}')

    assert await (await double.enqueue(1)).result(3) == 2
    job = await until(lambda: ended(handle))
    assert job.stalls == 0
    assert worker.statistics.lost == 0


async def ended(handle):
    job = await handle.job()
    return job if job.state in (JobState.COMPLETED, JobState.FAILED) else None


@pytest.mark.parametrize("options", UNREADABLE, ids=lambda text: text[:40])
async def test_a_job_whose_options_cannot_be_read_is_still_shown(queue, options):
    handle = await add(queue, options)

    assert (await handle.job()).name == "double"
    assert [job.id for job in (await queue.jobs()).jobs] == [handle.id]


@pytest.mark.parametrize("data", ["{", "", "\x00", "nonsense"], ids=repr)
@pytest.mark.parametrize("kind", ["task", "processor"])
async def test_a_payload_that_is_no_json_fails_its_job_alone(manager, queue, work, data, kind):
    async def process(job):
        return job.data

    queue.task(jobs.double)
    manager.register_processor("q", process)
    await work()
    handle = await add(queue, data=data, name="double" if kind == "task" else "other")

    await failure_of(handle)
    assert await (await queue.add("double", {"x": 4})).result(10) == 8
