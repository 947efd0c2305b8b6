"""What Node adds, Toril works, and Node sees how it ended."""

import pytest

from tests.interop.agent import NodeError
from tests.interop.waiting import until
from toril import JobState

HOUR = 3_600_000  # ms


async def test_a_plain_job(theirs, ours, work):
    await work()

    job_id = await theirs.add("echo", {"text": "Grüße ✓", "numbers": [1, 2.5, None]})

    assert await theirs.finished(job_id) == {"text": "Grüße ✓", "numbers": [1, 2.5, None]}
    job = await theirs.look(job_id)
    assert job["returnvalue"] == {"text": "Grüße ✓", "numbers": [1, 2.5, None]}
    assert (job["attemptsMade"], job["attemptsStarted"]) == (1, 1)
    assert job["timestamp"] <= job["processedOn"] <= job["finishedOn"]
    assert await theirs.state(job_id) == "completed"


@pytest.mark.parametrize("value", [None, 0, False, "", "text", [], {}, 2**53 - 1, 0.1])
async def test_a_result_of_any_kind_of_json(theirs, ours, manager, work, value):
    async def answer(job):
        return value

    manager.register_processor("q", answer)
    await work()

    job_id = await theirs.add("any")

    assert await theirs.finished(job_id) == value
    assert (await theirs.look(job_id))["returnvalue"] == value


async def test_jobs_in_bulk_run_in_their_order(theirs, ours, work):
    ids = await theirs.add_bulk([{"name": "echo", "data": {"n": n}} for n in range(50)])
    await theirs.follow()

    await work(concurrency=1)

    assert [await theirs.finished(job_id) for job_id in ids] == [{"n": n} for n in range(50)]
    assert [one["jobId"] for one in theirs.all_heard("completed")] == ids


async def test_a_delayed_job_waits_and_then_runs(theirs, ours, work):
    later = await theirs.add("echo", {"when": "later"}, delay=HOUR)
    soon = await theirs.add("echo", {"when": "soon"}, delay=50)
    assert await theirs.state(later) == "delayed"

    await work()

    assert await theirs.finished(soon) == {"when": "soon"}
    assert await theirs.state(later) == "delayed"
    seen = await ours.get(later)
    assert (seen.state, seen.due_ms) == (JobState.DELAYED, seen.created_ms + HOUR)


async def test_a_delayed_job_wakes_a_worker_that_waits(theirs, ours, work):
    await work()
    await theirs.finished(await theirs.add("echo"))

    job_id = await theirs.add("echo", {"n": 1}, delay=200)

    assert await theirs.finished(job_id) == {"n": 1}
    job = await theirs.look(job_id)
    assert job["processedOn"] >= job["timestamp"] + 200
    assert job["delay"] == 0


async def test_priorities_are_kept_and_jobs_without_one_go_first(theirs, ours, work):
    order = ["low", "high", "high2", "none"]
    low = await theirs.add("echo", priority=10)
    high = await theirs.add("echo", priority=1)
    high2 = await theirs.add("echo", priority=1)
    none = await theirs.add("echo")
    names = {low: "low", high: "high", high2: "high2", none: "none"}
    assert await theirs.state(low) == "prioritized"
    await theirs.follow()

    await work(concurrency=1)

    for job_id in names:
        await theirs.finished(job_id)
    ran = [names[one["jobId"]] for one in theirs.all_heard("active")]
    assert ran == [order[3], order[1], order[2], order[0]]


async def test_the_last_in_is_the_first_out_with_lifo(theirs, ours, work):
    first, second, third = [await theirs.add("echo", lifo=True) for _ in range(3)]
    await theirs.follow()

    await work(concurrency=1)

    for job_id in (first, second, third):
        await theirs.finished(job_id)
    assert [one["jobId"] for one in theirs.all_heard("active")] == [third, second, first]


async def test_an_id_of_ones_own_is_taken_once(theirs, ours, work):
    assert await theirs.add("echo", {"n": 1}, jobId="invoice-7") == "invoice-7"
    assert await theirs.add("echo", {"n": 2}, jobId="invoice-7") == "invoice-7"

    await work()

    assert await theirs.finished("invoice-7") == {"n": 1}
    assert (await ours.counts())[JobState.COMPLETED] == 1


async def test_a_simple_deduplication_key_is_free_again_when_the_job_has_ended(theirs, ours, work):
    rule = {"id": "key"}
    first = await theirs.add("echo", {"n": 1}, deduplication=rule)
    assert await theirs.add("echo", {"n": 2}, deduplication=rule) == first

    await work()

    assert await theirs.finished(first) == {"n": 1}
    third = await theirs.add("echo", {"n": 3}, deduplication=rule)
    assert third != first
    assert await theirs.finished(third) == {"n": 3}
    assert await theirs.call("getDeduplicationJobId", "key") is None


async def test_a_throttle_goes_on_after_the_job_has_ended(theirs, ours, work):
    rule = {"id": "key", "ttl": HOUR}
    first = await theirs.add("echo", {"n": 1}, deduplication=rule)

    await work()

    assert await theirs.finished(first) == {"n": 1}
    assert await theirs.add("echo", {"n": 2}, deduplication=rule) == first
    assert await theirs.call("getDeduplicationJobId", "key") == first


async def test_of_a_debounced_burst_only_the_last_runs(theirs, ours, work):
    rule = {"id": "key", "ttl": HOUR, "extend": True, "replace": True}
    ids = [await theirs.add("echo", {"n": n}, deduplication=rule, delay=HOUR) for n in range(3)]

    await work()
    await theirs.job(ids[-1], "promote")

    assert await theirs.finished(ids[-1]) == {"n": 2}
    assert [await ours.get(job_id) for job_id in ids[:2]] == [None, None]


async def test_the_last_of_those_that_came_while_it_ran_runs_next(theirs, ours, work, gate):
    rule = {"id": "key", "keepLastIfActive": True}
    await work()
    first = await theirs.add("hold", {"n": 1}, deduplication=rule)
    await until(lambda: gate.held)
    assert await theirs.add("echo", {"n": 2}, deduplication=rule) == first
    assert await theirs.add("echo", {"n": 3}, deduplication=rule) == first

    gate.release()

    assert await theirs.finished(first) == "released"
    follower = await until(lambda: last_completed(theirs, but=first))
    assert follower["returnvalue"] == {"n": 3}
    assert follower["deduplicationId"] == "key"
    assert (await ours.counts())[JobState.COMPLETED] == 2


async def last_completed(theirs, *, but):
    jobs = await theirs.call("getCompleted")
    return next((job for job in jobs if job["id"] != but), None)


async def test_attempts_and_reasons_of_a_job_that_recovers(theirs, ours, work):
    await work()

    job_id = await theirs.add("fail", {"times": 2, "reason": "not yet"}, attempts=3)

    assert await theirs.finished(job_id) == "after 2"
    job = await theirs.look(job_id)
    assert (job["attemptsMade"], job["attemptsStarted"]) == (3, 3)
    assert job["failedReason"] == "not yet"
    assert len(job["stacktrace"]) == 2
    assert all("not yet" in trace for trace in job["stacktrace"])
    seen = await ours.get(job_id)
    assert [error.message for error in seen.errors] == ["not yet", "not yet"]
    assert seen.attempts_made == 3


async def test_a_job_that_used_up_its_attempts_has_failed_on_both_sides(theirs, ours, work):
    await work()

    job_id = await theirs.add("fail", {"reason": "broken for good"}, attempts=2)

    with pytest.raises(NodeError, match="broken for good"):
        await theirs.finished(job_id)
    job = await theirs.look(job_id)
    assert (job["failedReason"], job["attemptsMade"]) == ("broken for good", 2)
    assert len(job["stacktrace"]) == 2
    assert await theirs.state(job_id) == "failed"
    seen = await ours.get(job_id)
    assert (seen.state, seen.failed_reason) == (JobState.FAILED, "broken for good")


@pytest.mark.parametrize("attempts", [None, 0, 1])
async def test_a_job_of_one_attempt_fails_at_once(theirs, ours, work, attempts):
    await work()

    job_id = await theirs.add("fail", {}, **({} if attempts is None else {"attempts": attempts}))

    with pytest.raises(NodeError, match="broken"):
        await theirs.finished(job_id)
    assert (await theirs.look(job_id))["attemptsMade"] == 1


async def test_an_unrecoverable_job_fails_with_attempts_left(theirs, ours, work):
    await work()

    job_id = await theirs.add("hopeless", {"reason": "no such customer"}, attempts=5)

    with pytest.raises(NodeError, match="no such customer"):
        await theirs.finished(job_id)
    assert (await theirs.look(job_id))["attemptsMade"] == 1


async def test_nodes_backoff_is_kept_to(theirs, ours, work):
    await work()
    await theirs.follow()

    backoff = {"type": "exponential", "delay": HOUR}
    job_id = await theirs.add("fail", {}, attempts=4, backoff=backoff)

    heard = await theirs.heard("delayed", jobId=job_id)
    job = await theirs.look(job_id)
    assert (job["attemptsMade"], job["delay"]) == (1, HOUR)
    assert job["processedOn"] + HOUR <= heard["delay"]
    assert await theirs.state(job_id) == "delayed"
    await theirs.job(job_id, "promote")
    await until(lambda: delayed_by(theirs, job_id, 2 * HOUR))


async def delayed_by(theirs, job_id, ms):
    return (await theirs.look(job_id))["delay"] == ms


async def test_a_short_backoff_runs_out_by_itself(theirs, ours, work):
    await work()

    backoff = {"type": "fixed", "delay": 50}
    job_id = await theirs.add("fail", {"times": 1}, attempts=2, backoff=backoff)

    assert await theirs.finished(job_id) == "after 1"


async def test_what_is_not_to_be_kept_is_not(theirs, ours, work):
    await work()

    gone = await theirs.add("echo", {"n": 0}, removeOnComplete=True)
    failed = await theirs.add("fail", {}, removeOnFail=True)
    kept = [await theirs.add("echo", {"n": n}, removeOnComplete={"count": 2}) for n in range(5)]

    for job_id in kept[-1:]:
        await theirs.finished(job_id)
    await until(lambda: counted(theirs, completed=2, failed=0, active=0, waiting=0))
    assert [job["id"] for job in await theirs.call("getCompleted")] == [kept[4], kept[3]]
    assert await theirs.call("getJob", gone) is None
    assert await theirs.call("getJob", failed) is None


async def counted(theirs, **expected):
    counts = await theirs.call("getJobCounts", *expected)
    return counts == expected


async def test_progress_and_logs_of_a_toril_handler(theirs, ours, work):
    await work()

    job_id = await theirs.add("report")

    assert await theirs.finished(job_id) == "reported"
    assert (await theirs.look(job_id))["progress"] == {"done": 50}
    assert await theirs.call("getJobLogs", job_id) == {
        "logs": ["first line", "second line"],
        "count": 2,
    }


async def test_only_as_many_log_lines_are_kept_as_node_asked_for(theirs, ours, work):
    await work()

    job_id = await theirs.add("report", {}, keepLogs=1)

    await theirs.finished(job_id)
    assert (await theirs.call("getJobLogs", job_id))["logs"] == ["second line"]


async def test_only_as_many_stack_traces_are_kept_as_node_asked_for(theirs, ours, work):
    await work()

    job_id = await theirs.add("fail", {"times": 4}, attempts=5, stackTraceLimit=2)

    await theirs.finished(job_id)
    assert len((await theirs.look(job_id))["stacktrace"]) == 2


async def test_numbers_that_are_not_whole_stop_no_worker(theirs, ours, work):
    odd = await theirs.add("echo", {"n": 1}, timestamp=1_700_000_000_000.25, delay=12.7)
    good = [await theirs.add("echo", {"n": n}) for n in range(3)]

    await work()

    assert await theirs.finished(odd) == {"n": 1}
    assert [await theirs.finished(job_id) for job_id in good] == [{"n": n} for n in range(3)]
    assert (await ours.get(odd)).created_ms == 1_700_000_000_000


@pytest.mark.parametrize("kept", [True, False])
async def test_tags_that_are_one_word_keep_no_job_from_ending(theirs, ours, work, kept):
    await theirs.follow()
    await work()

    odd = await theirs.add("echo", {"n": 1}, tags="urgent", removeOnComplete=not kept)
    good = await theirs.add("echo", {"n": 2})

    assert (await theirs.heard("completed", jobId=odd))["returnvalue"] == {"n": 1}
    assert await theirs.finished(good) == {"n": 2}
    assert await theirs.call("getJobState", odd) == ("completed" if kept else "unknown")


async def test_a_job_in_no_list_is_unknown_to_both(server, theirs, ours):
    job_id = await theirs.add("echo")
    server.ask("LREM", "bull:q:wait", 0, job_id)

    assert await theirs.state(job_id) == "unknown"
    assert (await ours.get(job_id)).state is JobState.UNKNOWN
