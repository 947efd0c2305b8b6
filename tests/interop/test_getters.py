"""BullMQ's getters on what Toril stored, and Toril's on what Node stored."""

import pytest

from tests.interop.waiting import until, until_state
from toril import JobState

FLOW = {
    "name": "echo",
    "queueName": "q",
    "opts": {"jobId": "parent"},
    "children": [
        {"name": "echo", "queueName": "q", "opts": {"jobId": "child", "delay": 3_600_000}}
    ],
}


@pytest.fixture
async def one_of_each(node, theirs, ours, work):
    """A job in each state, by the state's name; Toril made all but the parent."""
    worker = await work(concurrency=3)
    jobs = {"completed": await ours.add("echo"), "failed": await ours.add("fail")}
    for state, handle in jobs.items():
        await until_state(handle, state)
    jobs["active"] = await ours.add("hold")
    await until_state(jobs["active"], JobState.ACTIVE)
    await ours.pause()
    jobs["waiting"] = await ours.add("echo")
    jobs["delayed"] = await ours.add("echo", delay="1h")
    jobs["prioritized"] = await ours.add("echo", priority=5)
    await node.flow("add", FLOW)
    jobs["waiting-children"] = ours.handle("parent")
    yield {state: handle.id for state, handle in jobs.items()}
    worker.stop(force=True)


async def test_every_state_has_its_name_on_both_sides(theirs, ours, one_of_each):
    assert {state: await theirs.state(job_id) for state, job_id in one_of_each.items()} == {
        state: state for state in one_of_each
    }
    assert {state: (await ours.get(job_id)).state for state, job_id in one_of_each.items()} == {
        state: JobState(state) for state in one_of_each
    }
    assert await theirs.call("getJobState", "no-such-job") == "unknown"


async def test_both_sides_count_alike(theirs, ours, one_of_each):
    counts = await theirs.call("getJobCounts")

    assert counts == {**dict.fromkeys(one_of_each, 1), "delayed": 2}
    assert {state.value: n for state, n in (await ours.counts()).items()} == counts
    assert await theirs.call("count") == 5
    assert await theirs.call("getCountsPerPriority", [0, 5]) == {"0": 1, "5": 1}


@pytest.mark.parametrize(
    "state",
    ["waiting", "active", "delayed", "prioritized", "waiting-children", "completed", "failed"],
)
async def test_each_state_is_listed_alike(theirs, ours, one_of_each, state):
    listed = [job["id"] for job in await theirs.call("getJobs", [state])]

    assert one_of_each[state] in listed
    assert sorted(job.id for job in (await ours.jobs(state)).jobs) == sorted(listed)


async def test_a_job_of_torils_has_all_that_bullmq_shows(theirs, ours):
    handle = await ours.add("echo", {"n": 1}, delay=3600, priority=7, attempts=3, backoff=2)

    job = await theirs.look(handle.id)

    assert (job["name"], job["data"]) == ("echo", {"n": 1})
    assert (job["delay"], job["priority"], job["attemptsMade"]) == (3_600_000, 7, 0)
    assert job["timestamp"] == (await handle.job()).created_ms
    options = job["opts"]
    assert (options["attempts"], options["backoff"]) == (3, {"type": "fixed", "delay": 2000})
    assert (options["delay"], options["priority"]) == (3_600_000, 7)
    assert (job["progress"], job["returnvalue"], job["stacktrace"]) == (0, None, [])
    assert "failedReason" not in job


async def test_a_job_of_nodes_has_all_that_toril_shows(theirs, ours):
    options = {"delay": 3_600_000, "priority": 7, "attempts": 3, "backoff": 2000}
    job_id = await theirs.add("echo", {"n": 1}, **options, removeOnFail={"age": 60, "count": 9})

    job = await ours.get(job_id)

    assert (job.name, job.data, job.state) == ("echo", {"n": 1}, JobState.DELAYED)
    assert (job.priority, job.options.priority, job.options.attempts) == (7, 7, 3)
    assert (job.options.backoff.kind, job.options.backoff.delay_ms) == ("fixed", 2000)
    assert (job.options.keep_failed.age, job.options.keep_failed.count) == (60, 9)
    assert job.due_ms == job.created_ms + 3_600_000
    assert (job.errors, job.result, job.attempts_made) == ((), None, 0)


async def test_logs_of_both_sides_are_one_log(theirs, ours, work):
    await work()
    handle = await ours.add("report")
    await until_state(handle, JobState.COMPLETED)

    await theirs.job(handle.id, "log", "from Node")

    lines = ["first line", "second line", "from Node"]
    assert await handle.logs() == lines
    assert await theirs.call("getJobLogs", handle.id) == {"logs": lines, "count": 3}
    newest_first = await theirs.call("getJobLogs", handle.id, 0, 1, False)
    assert newest_first["logs"] == lines[:0:-1]


async def test_metrics_count_what_toril_worked(theirs, ours, work):
    await work()
    for _ in range(3):
        await until_state(await ours.add("echo"), JobState.COMPLETED)
    await until_state(await ours.add("fail"), JobState.FAILED)

    completed = await theirs.call("getMetrics", "completed")
    failed = await theirs.call("getMetrics", "failed")

    assert (completed["meta"]["count"], failed["meta"]["count"]) == (3, 1)
    assert completed["meta"]["prevTS"] > 0


async def test_metrics_count_what_both_worked(theirs, ours, work, manager):
    await theirs.work(metrics={"maxDataPoints": 60})
    await (await ours.add("echo")).result(15)
    await theirs.rest()
    await work()
    await (await ours.add("echo")).result(15)

    assert (await theirs.call("getMetrics", "completed"))["meta"]["count"] == 2


async def test_node_finds_a_toril_worker_that_waits(theirs, ours, work):
    assert await theirs.call("getWorkersCount") == 0

    await work()

    worker = await until(lambda: first_worker(theirs))
    assert worker["name"] == "q"
    assert ":w:" in worker["rawname"]


async def test_node_finds_a_toril_worker_that_never_had_to_wait(theirs, ours, work, gate):
    await ours.add("hold")

    await work(concurrency=1)

    await until(lambda: gate.held)
    assert await theirs.call("getWorkersCount") == 1
    gate.release()


async def test_each_toril_worker_of_a_queue_is_found_once(theirs, ours, work, start_toril_worker):
    await work()
    await start_toril_worker("q", lease=30)

    await until(lambda: workers_are(theirs, 2))


async def test_a_toril_worker_of_another_queue_is_not_found(theirs, node, ours, work):
    await work("other")
    await until(lambda: workers_are(node.queue("other"), 1))

    assert await theirs.call("getWorkersCount") == 0


async def test_a_toril_worker_that_has_stopped_is_not_found_any_more(theirs, ours, manager, work):
    await work()
    await until(lambda: first_worker(theirs))

    await manager.shutdown()

    await until(lambda: workers_are(theirs, 0))


async def first_worker(theirs):
    found = await theirs.call("getWorkers")
    return found[0] if found else None


async def workers_are(theirs, n):
    return await theirs.call("getWorkersCount") == n


async def test_dependencies_move_as_toril_works_the_children(node, theirs, ours, work):
    children = [
        {"name": "echo", "queueName": "q", "data": {"n": n}, "opts": {"jobId": f"child{n}"}}
        for n in range(2)
    ]
    held = {"name": "hold", "queueName": "q", "opts": {"jobId": "held"}}
    parent = {"name": "echo", "queueName": "q", "opts": {"jobId": "parent"}}
    await node.flow("add", {**parent, "children": [*children, held]})
    assert await theirs.job("parent", "getDependenciesCount") == {
        "processed": 0,
        "unprocessed": 3,
        "ignored": 0,
        "failed": 0,
    }

    await work()

    await until(lambda: dependencies_left(theirs, 1))
    dependencies = await theirs.job("parent", "getDependencies")
    assert dependencies == {
        "processed": {"bull:q:child0": {"n": 0}, "bull:q:child1": {"n": 1}},
        "unprocessed": ["bull:q:held"],
        "failed": [],
        "ignored": {},
    }


async def dependencies_left(theirs, n):
    return (await theirs.job("parent", "getDependenciesCount"))["unprocessed"] == n


async def test_bullmqs_search_for_orphans_takes_nothing_of_torils(theirs, ours, one_of_each):
    tagged = await ours.add("echo", tags=["vip"])
    before = await ours.counts()

    await theirs.call("removeOrphanedJobs")

    assert await ours.counts() == before
    assert all([await ours.get(job_id) for job_id in one_of_each.values()])
    assert [job.id for job in (await ours.jobs(tag="vip")).jobs] == [tagged.id]
    assert (await ours.metrics()).completed == 1


async def test_a_queue_that_toril_made_is_of_a_version_that_bullmq_knows(theirs, ours):
    assert (await theirs.call("getVersion")).startswith("bullmq:6.")


async def test_toril_lists_a_queue_that_both_use_once(theirs, ours, manager):
    await theirs.add("echo")

    assert [metrics.queue for metrics in await manager.get_all_metrics()] == ["q"]


async def test_prometheus_metrics_count_torils_jobs(theirs, ours):
    await ours.add("echo")

    text = await theirs.call("exportPrometheusMetrics")

    assert 'bullmq_job_count{queue="q", state="waiting"} 1' in text
