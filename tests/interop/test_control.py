"""Jobs and queues that one side made are controlled by the other."""

import pytest
from redis import Redis

from tests.interop.agent import NodeError
from tests.interop.waiting import failure_of, until, until_state
from toril import ConflictError, JobState, NotFoundError, Priority, QueueManager, Settings

SIDES = ["theirs", "ours"]


@pytest.fixture
async def work_by(theirs, work):
    """Start a worker of one of both."""

    async def start(side):
        await (theirs.work() if side == "theirs" else work())

    return start


# Node controls what Toril made and worked


@pytest.mark.parametrize("state", ["completed", "failed"])
async def test_node_retries_a_job_that_toril_ended(theirs, ours, work, state):
    await work()
    handle = await ours.add("fail" if state == "failed" else "echo", {})
    await until_state(handle, state)

    await theirs.job(handle.id, "retry", state, {"resetAttemptsMade": True})

    job = await until(lambda: ended_again(handle, JobState(state), starts=2))
    assert job.attempts_made == 1


async def ended_again(handle, state, *, starts):
    job = await handle.job()
    return job if job.state is state and job.attempts_started == starts else None


async def test_node_retries_all_failed_jobs_of_torils(theirs, ours, work):
    handles = [await ours.add("fail", {"times": 1}) for _ in range(5)]
    await work()
    for handle in handles:
        await until_state(handle, JobState.FAILED)

    await theirs.call("retryJobs", {"state": "failed"})

    for handle in handles:
        await until_state(handle, JobState.COMPLETED)
        assert (await theirs.look(handle.id))["returnvalue"] == "after 1"


async def test_node_promotes_what_toril_delayed(theirs, ours, work):
    one, *others = [await ours.add("echo", {"n": n}, delay="1h") for n in range(4)]
    await work()

    await theirs.job(one.id, "promote")
    assert await one.result(15) == {"n": 0}
    assert (await ours.counts())[JobState.DELAYED] == 3
    await theirs.call("promoteJobs")

    assert [await handle.result(15) for handle in others] == [{"n": n} for n in range(1, 4)]


async def test_node_removes_what_toril_made(theirs, ours, work, gate):
    waiting, delayed = await ours.add("echo"), await ours.add("echo", delay="1h")
    prioritized = await ours.add("echo", priority=2)

    for handle in (waiting, delayed, prioritized):
        assert await theirs.call("remove", handle.id) == 1

    assert sum((await ours.counts()).values()) == 0
    with pytest.raises(NotFoundError):
        await waiting.job()


async def test_node_does_not_remove_a_job_that_toril_runs(theirs, ours, work, gate):
    await work()
    handle = await ours.add("hold")
    await until(lambda: gate.held)

    assert await theirs.call("remove", handle.id) == 0

    gate.release()
    assert await handle.result(15) == "released"


async def test_node_changes_priority_delay_and_data_of_a_job_of_torils(theirs, ours, work):
    first = await ours.add("echo", {"n": 1}, delay="1h")
    second = await ours.add("echo", {"n": 2})
    await theirs.job(second.id, "changePriority", {"priority": 4})
    await theirs.job(second.id, "updateData", {"n": "changed"})
    job = await second.job()
    assert (job.state, job.priority, job.data) == (JobState.PRIORITIZED, 4, {"n": "changed"})

    await theirs.job(first.id, "changeDelay", 50)
    await work()

    assert await first.result(15) == {"n": 1}
    assert await second.result(15) == {"n": "changed"}


@pytest.mark.parametrize("state", ["completed", "failed", "waiting"])
async def test_node_cleans_what_toril_made(theirs, ours, work, state):
    if state != "waiting":
        await work()
    handles = [await ours.add("fail" if state == "failed" else "echo") for _ in range(3)]
    for handle in handles:
        await until_state(handle, state)

    cleaned = await theirs.call("clean", 0, 100, "wait" if state == "waiting" else state)

    assert sorted(cleaned) == sorted(handle.id for handle in handles)
    assert sum((await ours.counts()).values()) == 0


async def test_node_drains_what_toril_made(theirs, ours):
    await ours.add("echo")
    await ours.add("echo", priority=1)
    delayed = await ours.add("echo", delay="1h")

    await theirs.call("drain")
    assert [await ours.get(delayed.id)] == [await delayed.job()]
    assert sum((await ours.counts()).values()) == 1
    await theirs.call("drain", True)

    assert sum((await ours.counts()).values()) == 0


async def test_node_obliterates_a_queue_that_toril_made(theirs, ours, work):
    await work()
    await until_state(await ours.add("echo"), JobState.COMPLETED)
    await ours.add("echo", delay="1h")
    await ours.add("echo", priority=2, delay="1h")

    await theirs.call("obliterate")

    with pytest.raises(NotFoundError):
        await ours.counts()


async def test_node_does_not_obliterate_a_queue_where_toril_runs_a_job(theirs, ours, work, gate):
    await work()
    handle = await ours.add("hold")
    await until(lambda: gate.held)

    with pytest.raises(NodeError, match="active"):
        await theirs.call("obliterate")

    gate.release()
    await theirs.call("resume")
    assert await handle.result(15) == "released"


async def test_a_job_that_node_took_away_by_force_is_lost_quietly(theirs, ours, work, gate):
    await work()
    await ours.add("hold")
    await until(lambda: gate.held)

    await theirs.call("obliterate", {"force": True})
    gate.release()
    after = await ours.add("echo", {"n": 1})

    assert await after.result(15) == {"n": 1}
    counts = await ours.counts()
    assert (counts[JobState.COMPLETED], counts[JobState.ACTIVE]) == (1, 0)


# Toril controls what Node made and worked


@pytest.mark.parametrize("state", ["completed", "failed"])
async def test_toril_retries_a_job_that_node_ended(theirs, ours, work, state):
    await theirs.work()
    job_id = await theirs.add("fail" if state == "failed" else "echo")
    handle = ours.handle(job_id)
    await until_state(handle, state)
    await theirs.rest()

    await handle.retry()
    assert await theirs.state(job_id) == "waiting"
    await work()

    await until_state(handle, state)
    job = await theirs.look(job_id)
    assert job["attemptsMade"] == 1


async def test_a_job_that_toril_retries_is_as_new_to_node(theirs, ours):
    await theirs.work()
    job_id = await theirs.add("fail", {"reason": "broken"}, attempts=2)
    handle = ours.handle(job_id)
    await failure_of(handle)
    await theirs.rest()
    await handle.retry()

    job = await theirs.look(job_id)
    assert (job["attemptsMade"], job["attemptsStarted"]) == (0, 0)
    assert not {"failedReason", "finishedOn", "processedOn"} & job.keys()

    await theirs.work()
    await failure_of(handle)
    assert (await theirs.look(job_id))["attemptsMade"] == 2


async def test_toril_retries_all_failed_jobs_of_nodes(theirs, ours):
    await theirs.work()
    ids = [await theirs.add("fail") for _ in range(3)]
    for job_id in ids:
        await until_state(ours.handle(job_id), JobState.FAILED)
    await theirs.rest()

    assert await ours.retry_jobs() == 3

    assert (await theirs.call("getJobCounts", "waiting", "failed")) == {"waiting": 3, "failed": 0}


async def test_toril_promotes_what_node_delayed(theirs, ours):
    await theirs.work()
    plain = await theirs.add("echo", {"n": 1}, delay=3_600_000)
    urgent = await theirs.add("echo", {"n": 2}, delay=3_600_000, priority=3)

    await ours.handle(plain).promote()
    assert await theirs.finished(plain) == {"n": 1}
    assert await ours.promote_jobs() == 1

    assert await theirs.finished(urgent) == {"n": 2}


async def test_toril_removes_what_node_made(theirs, ours):
    await theirs.work()
    completed, failed = await theirs.add("echo"), await theirs.add("fail")
    await until_state(ours.handle(completed), JobState.COMPLETED)
    await until_state(ours.handle(failed), JobState.FAILED)
    delayed = await theirs.add("echo", delay=3_600_000)

    for job_id in (completed, failed, delayed):
        await ours.handle(job_id).remove()

    counts = await theirs.call("getJobCounts")
    assert not any(counts.values())
    assert await theirs.call("getJob", completed) is None


async def test_toril_does_not_remove_a_job_that_node_runs(theirs, ours, node):
    await theirs.work()
    handle = ours.handle(await theirs.add("hold"))
    await until_state(handle, JobState.ACTIVE)

    with pytest.raises(ConflictError, match="active"):
        await handle.remove()

    await until(lambda: node.lets_go_of(handle))
    assert await handle.result(15) == "released"


async def test_toril_changes_priority_delay_and_data_of_a_job_of_nodes(theirs, ours):
    handle = ours.handle(await theirs.add("echo", {"n": 1}))

    await handle.change_priority(Priority.HIGH)
    assert await theirs.state(handle.id) == "prioritized"
    assert (await theirs.look(handle.id))["priority"] == int(Priority.HIGH)
    await handle.change_delay("1h")
    assert await theirs.state(handle.id) == "delayed"
    await handle.change_data({"n": "changed"})
    assert (await theirs.look(handle.id))["data"] == {"n": "changed"}

    await theirs.work()
    await handle.change_delay(0)
    assert await theirs.finished(handle.id) == {"n": "changed"}


@pytest.mark.parametrize("state", ["completed", "failed", "waiting", "delayed", "prioritized"])
async def test_toril_cleans_what_node_made(theirs, ours, state):
    options = {"delayed": {"delay": 3_600_000}, "prioritized": {"priority": 2}}.get(state, {})
    if state in {"completed", "failed"}:
        await theirs.work()
    name = "fail" if state == "failed" else "echo"
    for _ in range(3):
        await until_state(ours.handle(await theirs.add(name, **options)), state)

    assert await until(lambda: ours.clean(0, state, 2)) == 2

    counts = await theirs.call("getJobCounts", state)
    assert counts == {state: 1}


async def test_toril_drains_what_node_made(theirs, ours):
    await theirs.add("echo")
    await theirs.add("echo", priority=1)
    delayed = await theirs.add("echo", delay=3_600_000)

    assert await ours.drain() == 2
    assert await theirs.state(delayed) == "delayed"
    assert await ours.drain(delayed=True) == 1

    assert await theirs.call("count") == 0


async def test_toril_obliterates_a_queue_that_node_made(theirs, ours):
    await theirs.work()
    await theirs.finished(await theirs.add("echo"))
    await theirs.rest()
    await theirs.add("echo", delay=3_600_000)
    await theirs.add("echo", priority=1)

    assert await ours.obliterate() == 3

    assert not any((await theirs.call("getJobCounts")).values())
    assert await theirs.call("getVersion") is None


async def test_a_job_that_toril_cancels_has_failed_in_node(theirs, ours):
    job_id = await theirs.add("echo", deduplication={"id": "key"})

    await ours.handle(job_id).cancel()

    job = await theirs.look(job_id)
    assert (await theirs.state(job_id), job["failedReason"]) == ("failed", "cancelled on request")
    assert job["finishedOn"] >= job["timestamp"]
    assert await theirs.call("getDeduplicationJobId", "key") is None


@pytest.mark.parametrize("worker", SIDES)
async def test_a_key_of_a_removed_job_is_free(theirs, ours, work_by, worker):
    first = await theirs.add("echo", {"n": 1}, deduplication={"id": "key"}, delay=3_600_000)
    await ours.handle(first).remove()
    second = await theirs.add("echo", {"n": 2}, deduplication={"id": "key"})

    await work_by(worker)

    assert await theirs.finished(second) == {"n": 2}


@pytest.mark.parametrize("worker", SIDES)
async def test_a_queue_that_toril_obliterated_is_used_again(theirs, ours, work_by, worker):
    await theirs.add("echo", {"n": 1})
    await ours.obliterate()

    await work_by(worker)

    assert await (await ours.add("echo", {"n": 2})).result(15) == {"n": 2}
    assert await theirs.finished(await theirs.add("echo", {"n": 3})) == {"n": 3}


@pytest.mark.parametrize("how", ["remove", "drain", "clean"])
async def test_toril_leaves_the_job_that_carries_a_schedule_of_nodes_on(theirs, ours, how):
    await ours.pause()
    await theirs.call("upsertJobScheduler", "hourly", {"every": 3_600_000}, {"name": "echo"})
    [carrier] = await theirs.call("getJobs", ["waiting", "delayed"])
    other = await theirs.add("echo")
    match how:
        case "remove":
            assert await ours.remove_jobs() == 1
        case "drain":
            assert await ours.drain(delayed=True) == 1
        case "clean":
            assert await until(lambda: ours.clean(0, JobState.WAITING)) == 1

    assert await theirs.call("getJob", other) is None
    left = await theirs.call("getJobs", ["waiting", "delayed"])
    assert [job["id"] for job in left] == [carrier["id"]]


async def test_jobs_of_a_queue_that_an_old_bullmq_paused_come_first_when_toril_resumes_it(
    theirs, ours, server, work
):
    await theirs.call("pause")
    first = await theirs.add("echo", {"n": 1})
    with Redis.from_url(server.url) as old:  # BullMQ 5 kept them in a list of their own
        old.rename(f"bull:{ours.name}:wait", f"bull:{ours.name}:paused")
    await theirs.add("echo", {"n": 2})

    await ours.resume()
    waiting = [job.id async for job in ours.each("waiting")]
    await work()

    assert waiting[0] == first
    assert await theirs.finished(first) == {"n": 1}


async def test_a_queue_that_only_node_has_used_is_found_by_its_name(node, server):
    await node.queue("of-node").add("echo")
    async with QueueManager(server.url, settings=Settings()) as manager:
        assert not (await manager.queue("of-node").info()).paused
        assert "of-node" in {str(i.ref) for i in await manager.engine.queues.all()}
