"""What Toril does, Node hears from BullMQ's QueueEvents."""

import pytest

from tests.interop.waiting import until, until_state
from toril import Deduplication, JobState


@pytest.fixture
async def heard(theirs):
    """Wait for an event in Node."""
    await theirs.follow()
    return theirs.heard


async def test_a_job_from_its_start_to_its_end(theirs, ours, heard, work):
    handle = await ours.add("echo", {"text": "Grüße", "list": [1, None]})

    await work()

    assert await heard("completed", jobId=handle.id) == {
        "jobId": handle.id,
        "returnvalue": {"text": "Grüße", "list": [1, None]},
        "prev": "active",
    }
    assert theirs.order_heard(handle.id) == ["added", "waiting", "active", "completed"]
    assert (await heard("added", jobId=handle.id))["name"] == "echo"
    assert (await heard("active", jobId=handle.id))["prev"] == "waiting"


@pytest.mark.parametrize("value", [None, "text", "", 0, False, [], '\u2028 "quoted"'])
async def test_a_returnvalue_of_any_kind_of_json(theirs, ours, heard, work, value):
    handle = await ours.add("echo", value)

    await work()

    assert (await heard("completed", jobId=handle.id))["returnvalue"] == value


async def test_a_job_that_fails_for_good(theirs, ours, heard, work):
    handle = await ours.add("fail", {"reason": "broken"}, attempts=2)

    await work()

    assert (await heard("retries-exhausted", jobId=handle.id))["attemptsMade"] == "2"
    failed = await heard("failed", jobId=handle.id)
    assert (failed["failedReason"], failed["prev"]) == ("broken", "active")
    assert theirs.order_heard(handle.id) == [
        *("added", "waiting", "active"),
        *("waiting", "active", "failed", "retries-exhausted"),
    ]
    assert (await heard("waiting", jobId=handle.id, prev="active"))["jobId"] == handle.id


async def test_an_unrecoverable_job_has_not_exhausted_its_retries(theirs, ours, heard, work):
    handle = await ours.add("hopeless", {"reason": "no"}, attempts=3)
    after = await ours.add("echo")

    await work(concurrency=1)

    await heard("completed", jobId=after.id)
    assert theirs.order_heard(handle.id) == ["added", "waiting", "active", "failed"]


async def test_a_delayed_job_says_until_when(theirs, ours, heard, work):
    handle = await ours.add("echo", delay="1h")

    delayed = await heard("delayed", jobId=handle.id)

    assert delayed["delay"] == (await handle.job()).due_ms
    assert theirs.order_heard(handle.id) == ["added", "delayed"]


async def test_a_delayed_job_that_is_due_waits_first(theirs, ours, heard, work):
    handle = await ours.add("echo", delay=0.05)

    await work()

    await heard("completed", jobId=handle.id)
    assert (await heard("waiting", jobId=handle.id))["prev"] == "delayed"
    order = ["added", "delayed", "waiting", "active", "completed"]
    assert theirs.order_heard(handle.id) == order


async def test_a_backoff_is_a_delay(theirs, ours, heard, work):
    handle = await ours.add("fail", attempts=2, backoff="1h")

    await work()

    delayed = await heard("delayed", jobId=handle.id)
    assert delayed["delay"] == (await until_state(handle, JobState.DELAYED)).due_ms
    assert theirs.order_heard(handle.id) == ["added", "waiting", "active", "delayed"]


async def test_progress_of_any_kind_of_json(theirs, ours, manager, heard, work):
    values = [{"done": 50}, 7, "half", [1, 2], True]

    async def report(job):
        job.progress(job.data)

    manager.register_processor("q", report)
    await work()

    for value in values:
        handle = await ours.add("any", value)
        assert (await heard("progress", jobId=handle.id))["data"] == value


async def test_removed_says_from_where(theirs, ours, heard, work):
    waiting = await ours.add("echo")
    delayed = await ours.add("echo", delay="1h")
    prioritized = await ours.add("echo", priority=3)

    for handle in (waiting, delayed, prioritized):
        await handle.remove()

    assert (await heard("removed", jobId=waiting.id))["prev"] == "wait"
    assert (await heard("removed", jobId=delayed.id))["prev"] == "delayed"
    assert (await heard("removed", jobId=prioritized.id))["prev"] == "prioritized"


async def test_removed_says_whether_the_job_had_ended(theirs, ours, heard, work):
    await work()
    completed, failed = await ours.add("echo"), await ours.add("fail")
    await until_state(completed, JobState.COMPLETED)
    await until_state(failed, JobState.FAILED)

    await completed.remove()
    await failed.remove()

    assert (await heard("removed", jobId=completed.id))["prev"] == "completed"
    assert (await heard("removed", jobId=failed.id))["prev"] == "failed"


async def test_paused_and_resumed(theirs, ours, heard):
    await ours.pause()
    await heard("paused")
    assert not theirs.all_heard("resumed")

    await ours.resume()
    await heard("resumed")
    assert len(theirs.all_heard("paused")) == 1


async def test_drained_comes_when_nothing_is_left_to_do(theirs, ours, heard, work):
    await work(concurrency=1)
    handles = await ours.add_bulk([{"name": "echo"}] * 10)

    await heard("drained")

    for handle in handles:
        assert theirs.all_heard("completed", jobId=handle.id)
    assert len(theirs.all_heard("drained")) == 1


async def test_deduplicated_names_both_jobs(theirs, ours, heard):
    first = await ours.add("echo", deduplication=Deduplication.simple("key"))
    await ours.add("echo", job_id="second", deduplication=Deduplication.simple("key"))

    assert await heard("deduplicated") == {
        "jobId": first.id,
        "deduplicationId": "key",
        "deduplicatedJobId": "second",
    }


async def test_a_debounce_removes_the_one_before(theirs, ours, heard):
    rule = Deduplication.debounce("1h", "key")
    first = await ours.add("echo", deduplication=rule)
    second = await ours.add("echo", deduplication=rule)

    assert (await heard("removed"))["jobId"] == first.id
    told = await heard("deduplicated", deduplicationId="key")
    assert (told["jobId"], told["deduplicatedJobId"]) == (second.id, first.id)
    assert (await heard("delayed", jobId=second.id))["delay"] == (await second.job()).due_ms


async def test_duplicated_names_the_id_that_was_there(theirs, ours, heard):
    await ours.add("echo", job_id="invoice-7")
    await ours.add("echo", job_id="invoice-7")

    assert await heard("duplicated") == {"jobId": "invoice-7"}


async def test_a_stalled_job_waits_again(theirs, ours, heard, start_toril_worker, work):
    victim = await start_toril_worker("q", lease=1)
    handle = await ours.add("hold")
    await until_state(handle, JobState.ACTIVE)
    victim.kill()

    await work(lease=1)

    assert (await heard("stalled"))["jobId"] == handle.id
    order = theirs.order_heard(handle.id)
    assert order[:5] == ["added", "waiting", "active", "waiting", "stalled"]
    assert (await heard("waiting", jobId=handle.id, prev="active"))["jobId"] == handle.id


async def test_a_retried_job_comes_from_where_it_was(theirs, ours, heard, work):
    await work()
    completed, failed = await ours.add("echo"), await ours.add("fail")
    await until_state(completed, JobState.COMPLETED)
    await until_state(failed, JobState.FAILED)

    await completed.retry()
    await failed.retry()

    assert (await heard("waiting", prev="completed"))["jobId"] == completed.id
    assert (await heard("waiting", prev="failed"))["jobId"] == failed.id


async def test_a_promoted_job_comes_from_the_delayed(theirs, ours, heard):
    handle = await ours.add("echo", delay="1h")

    await handle.promote()

    assert await heard("waiting", prev="delayed") == {"jobId": handle.id, "prev": "delayed"}


async def test_a_job_that_is_cancelled_while_it_waits_has_failed(theirs, ours, heard):
    handle = await ours.add("echo")

    await handle.cancel()

    failed = await heard("failed", jobId=handle.id)
    assert failed["failedReason"] == "cancelled on request"


async def test_cleaning_says_how_many(theirs, ours, heard, work):
    await work()
    handles = await ours.add_bulk([{"name": "echo"}] * 3)
    for handle in handles:
        await until_state(handle, JobState.COMPLETED)

    await until(lambda: ours.clean(0, JobState.COMPLETED))

    assert await heard("cleaned") == {"count": "3"}


async def test_no_event_is_one_that_node_cannot_read(theirs, ours, heard, work, gate):
    await work()
    handles = [
        await ours.add(name, {"times": 1, "reason": "no"}, attempts=2)
        for name in ("echo", "fail", "report", "hopeless", "hold")
    ]
    await until(lambda: gate.held)
    await handles[-1].cancel()
    await until_state(handles[-1], JobState.FAILED)
    await handles[0].retry()
    last = await ours.add("echo")

    await heard("completed", jobId=last.id)

    assert not theirs.all_heard("error")


@pytest.mark.parametrize("most", [0, 1, 5])
async def test_a_stream_that_keeps_few_events_still_tells_how_jobs_end(
    server, theirs, ours, heard, work, most
):
    server.ask("HSET", "bull:q:meta", "opts.maxLenEvents", most)
    await work()

    for n in range(10):
        handle = await ours.add("echo", n)
        assert (await heard("completed", jobId=handle.id))["returnvalue"] == n
