"""Limits by key, in a queue that Node.js adds to and looks at."""

from collections import Counter

from tests.interop.test_limits import register_again
from tests.interop.waiting import until
from toril import JobState, RateLimit


async def test_jobs_of_node_are_held_to_the_limits_by_key(theirs, ours, server, gate, work):
    await register_again(server, concurrency_by_key={"tenant": 1})
    for n in range(3):
        await theirs.add("hold", {"tenant": "a", "n": n})
    other = await theirs.add("echo", {"tenant": "b"}, priority=3)

    await work(concurrency=5)

    assert await theirs.finished(other) == {"tenant": "b"}
    counts = await ours.counts()
    assert (counts[JobState.ACTIVE], counts[JobState.PRIORITIZED]) == (1, 2)

    async def all_ran():
        counts = await ours.counts()
        assert counts[JobState.ACTIVE] <= 1
        gate.release()
        return counts[JobState.COMPLETED] == 4

    await until(all_ran)


async def test_node_sees_and_removes_jobs_that_wait_for_their_key(theirs, ours, server, gate, work):
    await register_again(server, concurrency_by_key={"tenant": 1})
    ids = [await theirs.add("hold", {"tenant": "a", "n": n}) for n in range(3)]
    await work(concurrency=5)
    await until(lambda: held(ours))

    assert Counter([await theirs.job(job_id, "getState") for job_id in ids]) == {
        "active": 1,
        "prioritized": 2,
    }
    await theirs.job(ids[1], "remove")
    gate.release()
    await until(lambda: completed(ours, ids[2], gate))


async def held(ours):
    counts = await ours.counts()
    return counts[JobState.ACTIVE] == 1 and counts[JobState.PRIORITIZED] == 2


async def completed(ours, job_id, gate):
    gate.release()
    job = await ours.get(job_id)
    return job is not None and job.state is JobState.COMPLETED


async def test_a_bucket_takes_the_place_of_the_window_that_node_sees(theirs, ours, server):
    await register_again(server, rate_limit=RateLimit(5, per=60))
    assert await theirs.call("getGlobalRateLimit") == {"max": 5, "duration": 60_000}
    await register_again(server, rate_limit=RateLimit(5, per=60, burst=2))

    assert await theirs.call("getGlobalRateLimit") is None
    assert (await ours.info()).rate_limit == RateLimit(5, per=60, burst=2)
