"""What Toril adds, Node works, and Toril sees how it ended."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from tests.interop.waiting import failure_of, until, until_state
from toril import Backoff, Deduplication, JobState, Priority

PATIENCE = 15


async def test_a_plain_job(theirs, ours):
    await theirs.work()

    handle = await ours.add("echo", {"text": "Grüße ✓", "numbers": [1, 2.5, None]})

    assert await handle.result(PATIENCE) == {"text": "Grüße ✓", "numbers": [1, 2.5, None]}
    job = await handle.job()
    assert (job.state, job.attempts_made, job.attempts_started) == (JobState.COMPLETED, 1, 1)
    assert job.created_ms <= job.started_ms <= job.finished_ms


@pytest.mark.parametrize("data", [None, 0, False, "", "text", [], {}, 2**53 - 1, 0.1])
async def test_data_of_any_kind_of_json_comes_back(theirs, ours, data):
    await theirs.work()

    handle = await ours.add("echo", data)

    assert await handle.result(PATIENCE) == data


async def test_a_typed_task_that_only_toril_knows_is_worked_by_node(theirs, ours):
    @ours.task(name="echo")
    async def greet(name: str, *, loud: bool = False) -> dict[str, object]:
        raise NotImplementedError

    await theirs.work()

    handle = await greet.enqueue("Ada", loud=True)

    assert await handle.result(PATIENCE) == {"name": "Ada", "loud": True}


async def test_jobs_in_bulk_run_in_their_order(theirs, ours):
    handles = await ours.add_bulk([{"name": "echo", "data": {"n": n}} for n in range(200)])
    await theirs.follow()

    await theirs.work(concurrency=1)

    assert [await handle.result(PATIENCE) for handle in handles] == [{"n": n} for n in range(200)]
    await theirs.heard("completed", jobId=handles[-1].id)
    assert [one["jobId"] for one in theirs.all_heard("completed")] == [h.id for h in handles]


async def test_a_delayed_job_waits_and_then_runs(theirs, ours):
    later = await ours.add("echo", {"when": "later"}, delay="1h")
    soon = await ours.add("echo", {"when": "soon"}, delay=0.05)

    await theirs.work()

    assert await soon.result(PATIENCE) == {"when": "soon"}
    job = await theirs.look(later.id)
    assert (await theirs.state(later.id), job["delay"]) == ("delayed", 3_600_000)


async def test_a_delayed_job_wakes_a_node_worker_that_waits(theirs, ours):
    await theirs.work()
    await (await ours.add("echo")).result(PATIENCE)

    handle = await ours.add("echo", {"n": 1}, delay=0.2)

    assert await handle.result(PATIENCE) == {"n": 1}
    job = await handle.job()
    assert job.started_ms >= job.created_ms + 200


async def test_a_job_at_a_point_in_time_is_delayed_until_then(theirs, ours):
    when = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
    handle = await ours.add("echo", scheduled_at=when)

    job = await theirs.look(handle.id)

    due = job["timestamp"] + job["delay"]
    assert due == (await handle.job()).due_ms == int(when.timestamp() * 1000)


async def test_priorities_are_kept_and_jobs_without_one_go_first(theirs, ours):
    low = await ours.add("echo", priority=Priority.LOW)
    high = await ours.add("echo", priority=Priority.HIGH)
    none = await ours.add("echo")
    assert await theirs.state(low.id) == "prioritized"
    assert (await theirs.look(low.id))["priority"] == int(Priority.LOW)
    await theirs.follow()

    await theirs.work(concurrency=1)

    await low.result(PATIENCE)
    await theirs.heard("active", jobId=low.id)
    assert [one["jobId"] for one in theirs.all_heard("active")] == [none.id, high.id, low.id]


async def test_the_last_in_is_the_first_out_with_lifo(theirs, ours):
    first, second, third = [await ours.add("echo", lifo=True) for _ in range(3)]
    await theirs.follow()

    await theirs.work(concurrency=1)

    await first.result(PATIENCE)
    await theirs.heard("active", jobId=first.id)
    ran = [one["jobId"] for one in theirs.all_heard("active")]
    assert ran == [third.id, second.id, first.id]


async def test_an_id_of_ones_own_is_taken_once_whoever_adds(theirs, ours):
    first = await ours.add("echo", {"n": 1}, job_id="invoice-7")
    again = await ours.add("echo", {"n": 2}, job_id="invoice-7")
    assert await theirs.add("echo", {"n": 3}, jobId="invoice-7") == "invoice-7"
    assert (first.created, again.created) == (True, False)

    await theirs.work()

    assert await first.result(PATIENCE) == {"n": 1}
    assert await theirs.call("getCompletedCount") == 1


async def test_a_simple_deduplication_key_is_shared_with_node(theirs, ours):
    first = await ours.add("echo", {"n": 1}, deduplication=Deduplication.simple("key"))
    again = await ours.add("echo", {"n": 2}, deduplication=Deduplication.simple("key"))
    assert (again.deduplicated, again.id) == (True, first.id)
    assert await theirs.add("echo", {"n": 3}, deduplication={"id": "key"}) == first.id
    assert (await theirs.look(first.id))["deduplicationId"] == "key"

    await theirs.work()

    assert await first.result(PATIENCE) == {"n": 1}
    fourth = await ours.add("echo", {"n": 4}, deduplication=Deduplication.simple("key"))
    assert fourth.created
    assert await fourth.result(PATIENCE) == {"n": 4}


async def test_a_key_without_a_name_is_free_again_when_node_has_worked_the_job(theirs, ours):
    first = await ours.add("echo", {"n": 1}, deduplication=Deduplication.simple())
    again = await ours.add("echo", {"n": 1}, deduplication=Deduplication.simple())
    other = await ours.add("echo", {"n": 2}, deduplication=Deduplication.simple())
    assert (again.id, other.created) == (first.id, True)

    await theirs.work()

    await first.result(PATIENCE)
    assert (await ours.add("echo", {"n": 1}, deduplication=Deduplication.simple())).created


async def test_a_throttle_goes_on_after_node_has_worked_the_job(theirs, ours):
    await theirs.work()
    rule = Deduplication.throttle("1h", "key")
    first = await ours.add("echo", {"n": 1}, deduplication=rule)

    await first.result(PATIENCE)

    assert (await ours.add("echo", {"n": 2}, deduplication=rule)).id == first.id
    node_rule = {"id": "key", "ttl": 3_600_000}
    assert await theirs.add("echo", {"n": 3}, deduplication=node_rule) == first.id


async def test_of_a_debounced_burst_of_both_only_the_last_runs(theirs, ours):
    rule = Deduplication.debounce("1h", "key")
    node_rule = {"id": "key", "ttl": 3_600_000, "extend": True, "replace": True}
    first = await ours.add("echo", {"n": 1}, deduplication=rule)
    second = await theirs.add("echo", {"n": 2}, deduplication=node_rule, delay=3_600_000)
    third = await ours.add("echo", {"n": 3}, deduplication=rule)
    assert len({first.id, second, third.id}) == 3

    await theirs.work()
    await third.promote()

    assert await third.result(PATIENCE) == {"n": 3}
    assert await theirs.call("getJob", first.id) is None
    assert await theirs.call("getJob", second) is None


async def test_a_failed_job_raises_with_nodes_reason(theirs, ours):
    await theirs.work()

    handle = await ours.add("fail", {"reason": "broken for good"}, attempts=2)

    error = await failure_of(handle)
    assert (error.error_type, error.reason) == ("Error", "broken for good")
    job = await handle.job()
    assert (job.attempts_made, job.failed_reason) == (2, "broken for good")
    assert "agent.js" in job.errors[-1].stack


async def test_waiting_for_a_result_hears_of_a_failure_that_comes_later(theirs, ours):
    handle = await ours.add("fail", {"reason": "late"})
    waiting = asyncio.create_task(failure_of(handle))
    await asyncio.sleep(0)

    await theirs.work()

    assert (await waiting).reason == "late"


async def test_a_job_recovers_with_the_attempts_that_toril_gave_it(theirs, ours):
    await theirs.work()

    handle = await ours.add("fail", {"times": 2}, attempts=3, backoff=Backoff.fixed(0.02))

    assert await handle.result(PATIENCE) == "after 2"
    job = await handle.job()
    assert (job.attempts_made, job.attempts_started) == (3, 3)


async def test_node_keeps_to_torils_exponential_backoff(theirs, ours):
    await theirs.work()

    handle = await ours.add("fail", {}, attempts=4, backoff=Backoff.exponential("1h"))

    job = await until_state(handle, JobState.DELAYED)
    assert job.due_ms >= job.started_ms + 3_600_000
    assert (job.attempts_made, [error.message for error in job.errors]) == (1, ["broken"])
    await handle.promote()
    await until(lambda: delayed_by(theirs, handle, 7_200_000))


async def delayed_by(theirs, handle, ms):
    return (await theirs.look(handle.id))["delay"] == ms


async def test_an_unrecoverable_job_fails_with_attempts_left(theirs, ours):
    await theirs.work()

    handle = await ours.add("hopeless", {"reason": "no such customer"}, attempts=5)

    assert (await failure_of(handle)).reason == "no such customer"
    assert (await handle.job()).attempts_made == 1


async def test_what_is_not_to_be_kept_is_not(theirs, ours):
    handles = [await ours.add("echo", {"n": n}, remove_on_complete=2) for n in range(5)]
    gone = await ours.add("echo", remove_on_complete=True)
    failing = await ours.add("fail", remove_on_fail=True)

    await theirs.work(concurrency=1)

    await until(lambda: everything_ran(ours))
    kept = [(await ours.get(handle.id)) is not None for handle in (*handles, gone, failing)]
    assert kept == [False, False, False, True, True, False, False]


async def everything_ran(ours):
    counts = await ours.counts()
    return counts[JobState.WAITING] == counts[JobState.ACTIVE] == 0


async def test_a_result_that_is_awaited_arrives_though_no_record_is_kept(theirs, ours):
    handle = await ours.add("echo", {"n": 1}, remove_on_complete=True)
    waiting = asyncio.create_task(handle.result(PATIENCE))
    await asyncio.sleep(0)

    await theirs.work()

    assert await waiting == {"n": 1}


async def test_progress_and_logs_of_a_node_handler(theirs, ours):
    await theirs.work()

    handle = await ours.add("report")

    assert await handle.result(PATIENCE) == "reported"
    assert await handle.progress() == {"done": 50}
    assert await handle.logs() == ["first line", "second line"]


async def test_a_job_says_which_node_worker_has_it(theirs, ours, node):
    await theirs.work(name="node-1")

    handle = await ours.add("hold")

    job = await until_state(handle, JobState.ACTIVE)
    assert job.worker == "node-1"
    await until(lambda: node.lets_go_of(handle))
    assert await handle.result(PATIENCE) == "released"


async def test_tags_and_metadata_pass_through_a_node_worker(theirs, ours):
    await theirs.work()

    handle = await ours.add("echo", tags=["vip"], metadata={"trace": "abc"}, correlation_id="r-1")

    await handle.result(PATIENCE)
    job = await handle.job()
    assert (job.tags, job.options.metadata) == (("vip",), {"trace": "abc"})
    assert job.options.correlation_id == "r-1"
    assert [found.id for found in (await ours.jobs(tag="vip")).jobs] == [handle.id]


async def test_a_job_that_node_failed_and_toril_fails_again_tells_torils_reason(theirs, ours, work):
    await theirs.work()
    handle = await ours.add("fail", {"reason": "from Node"})
    assert (await failure_of(handle)).reason == "from Node"
    await theirs.rest()
    await handle.retry()
    await handle.change_data({"reason": "from Toril"})

    await work()

    assert (await failure_of(handle)).reason == "from Toril"
    assert (await theirs.look(handle.id))["failedReason"] == "from Toril"


async def test_a_job_that_toril_tried_and_node_failed_tells_nodes_reason(
    theirs, ours, manager, work
):
    await work()
    handle = await ours.add("fail", {"reason": "from Toril"}, attempts=2, backoff="1h")
    await until_state(handle, JobState.DELAYED)
    await manager.shutdown()
    await manager.open()
    await handle.change_data({"reason": "from Node"})

    await theirs.work()
    await handle.promote()

    assert (await failure_of(handle)).reason == "from Node"
    job = await handle.job()
    assert (job.attempts_made, job.failed_reason) == (2, "from Node")
    assert len((await theirs.look(handle.id))["stacktrace"]) == 2
