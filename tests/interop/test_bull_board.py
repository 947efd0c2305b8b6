"""What bull-board's buttons do to jobs that Toril made and worked."""

import asyncio
import json
from urllib.request import Request, urlopen

import pytest

from tests.interop.agent import PATIENCE
from tests.interop.waiting import until, until_state
from toril import JobState

ALL_STATES = {"waiting", "active", "delayed", "prioritized", "completed", "failed"}


@pytest.fixture
async def board(node, ours):
    """Call bull-board's HTTP API."""
    port = await node.ask("board", queues=["q"])

    async def call(method, path, body=None):
        request = Request(
            f"http://127.0.0.1:{port}/api/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"content-type": "application/json"},
        )
        return await asyncio.to_thread(fetch, request)

    return call


def fetch(request):
    with urlopen(request, timeout=PATIENCE) as answer:
        text = answer.read()
    return json.loads(text) if text.strip().startswith((b"{", b"[")) else None


async def shown(board, status="latest"):
    """Return the queue as the board's page shows it."""
    found = await board("GET", f"queues?activeQueue=q&status={status}&page=1&jobsPerPage=20")
    return next(queue for queue in found["queues"] if queue["name"] == "q")


async def test_the_queue_and_its_jobs_are_listed(ours, board, work, gate):
    await work(concurrency=3)
    completed = await ours.add("echo", {"text": "Grüße"}, tags=["vip"])
    failed = await ours.add("fail", {"reason": "broken"})
    await until_state(completed, JobState.COMPLETED)
    await until_state(failed, JobState.FAILED)
    held = await ours.add("hold")
    await until(lambda: gate.held)
    delayed = await ours.add("echo", delay="1h")
    prioritized = await ours.add("echo", priority=2, delay=0)
    await until_state(prioritized, JobState.COMPLETED)

    queue = await shown(board)

    assert queue["counts"]["completed"] == 2
    assert (queue["counts"]["failed"], queue["counts"]["delayed"]) == (1, 1)
    assert (queue["isPaused"], queue["hasWorkers"]) == (False, True)
    jobs = {job["id"]: job for job in queue["jobs"]}
    assert jobs.keys() == {h.id for h in (completed, failed, held, delayed, prioritized)}
    assert jobs[completed.id]["data"] == {"text": "Grüße"}
    assert jobs[completed.id]["returnValue"] == {"text": "Grüße"}
    assert jobs[failed.id]["failedReason"] == "broken"
    assert "ValueError: broken" in jobs[failed.id]["stacktrace"][0]
    assert jobs[delayed.id]["delay"] == 3_600_000
    assert jobs[held.id]["processedBy"]


@pytest.mark.parametrize("state", sorted(ALL_STATES))
async def test_each_tab_lists_the_jobs_of_its_state(ours, board, work, gate, state):
    await work(concurrency=3)
    jobs = {"completed": await ours.add("echo"), "failed": await ours.add("fail")}
    for ended, handle in jobs.items():
        await until_state(handle, ended)
    jobs["active"] = await ours.add("hold")
    await until(lambda: gate.held)
    await ours.pause()
    jobs["waiting"] = await ours.add("echo")
    jobs["prioritized"] = await ours.add("echo", priority=3)
    jobs["delayed"] = await ours.add("echo", delay="1h")

    queue = await shown(board, state)

    assert [job["id"] for job in queue["jobs"]] == [jobs[state].id]
    assert queue["counts"] == {**dict.fromkeys(ALL_STATES, 1), "waiting-children": 0}


async def test_one_job_is_shown_with_its_state_and_logs(ours, board, work):
    await work()
    handle = await ours.add("report")
    await until_state(handle, JobState.COMPLETED)

    found = await board("GET", f"queues/q/{handle.id}")

    assert found["status"] == "completed"
    assert found["job"]["progress"] == {"done": 50}
    assert await board("GET", f"queues/q/{handle.id}/logs") == ["first line", "second line"]


async def test_the_workers_page_lists_torils_worker(ours, board, work):
    await work()

    found = await until(lambda: workers_of(board))

    assert len(found) == 1


async def workers_of(board):
    return (await board("GET", "queues/q/workers"))["workers"]


async def test_the_retry_button_runs_a_failed_job_again(ours, board, work):
    await work()
    handle = await ours.add("fail", {"times": 1})
    await until_state(handle, JobState.FAILED)

    await board("PUT", f"queues/q/{handle.id}/retry")

    await until(lambda: ended_again(handle))


async def test_the_retry_all_button_runs_all_failed_jobs_again(ours, board, work):
    await work()
    handles = [await ours.add("fail", {"times": 1}) for _ in range(3)]
    for handle in handles:
        await until_state(handle, JobState.FAILED)

    await board("PUT", "queues/q/retry/failed")

    for handle in handles:
        await until(lambda handle=handle: ended_again(handle))


async def ended_again(handle):
    job = await handle.job()
    return job.attempts_started == 2 and job.finished_ms is not None


async def test_the_promote_button_makes_a_delayed_job_run(ours, board, work):
    await work()
    handle = await ours.add("echo", {"n": 1}, delay="1h")

    await board("PUT", f"queues/q/{handle.id}/promote")

    assert await handle.result(15) == {"n": 1}


async def test_the_promote_all_button_makes_all_delayed_jobs_run(ours, board, work):
    await work()
    handles = [await ours.add("echo", {"n": n}, delay="1h") for n in range(3)]

    await board("PUT", "queues/q/promote")

    assert [await handle.result(15) for handle in handles] == [{"n": n} for n in range(3)]


@pytest.mark.parametrize("state", [JobState.COMPLETED, JobState.FAILED])
async def test_the_clean_all_button_removes_what_ended_some_seconds_ago(ours, board, work, state):
    await work()
    handle = await ours.add("fail" if state is JobState.FAILED else "echo")
    await until_state(handle, state)

    async def cleaned():
        await asyncio.sleep(0.2)
        await board("PUT", f"queues/q/clean/{state}")
        return (await ours.counts())[state] == 0

    await until(cleaned)
    assert await ours.get(handle.id) is None


async def test_the_clean_button_removes_one_job(ours, board):
    handle, other = await ours.add("echo"), await ours.add("echo")

    await board("PUT", f"queues/q/{handle.id}/clean")

    assert await ours.get(handle.id) is None
    assert await ours.get(other.id) is not None


async def test_the_pause_button_pauses_torils_workers_until_resume(ours, board, work):
    await work()

    await board("PUT", "queues/q/pause")
    assert (await ours.info()).paused
    assert (await shown(board))["isPaused"]
    handle = await ours.add("echo", {"n": 1})
    assert await handle.state() is JobState.WAITING
    await board("PUT", "queues/q/resume")

    assert await handle.result(15) == {"n": 1}


async def test_the_empty_button_removes_what_waits(ours, board):
    await ours.add("echo")
    await ours.add("echo", priority=1)

    await board("PUT", "queues/q/empty")

    assert sum((await ours.counts()).values()) == 0


async def test_a_job_that_the_board_adds_is_worked_by_toril(theirs, ours, board, work):
    await work()

    added = await board("POST", "queues/q/add", {"name": "echo", "data": {"n": 1}, "options": {}})

    assert await theirs.finished(added["job"]["id"]) == {"n": 1}


async def test_a_concurrency_and_a_rate_limit_of_the_board_are_torils(ours, board):
    await board("PUT", "queues/q/concurrency", {"concurrency": 3})
    await board("PUT", "queues/q/rate-limit", {"max": 5, "duration": 60_000})

    info = await ours.info()

    assert info.concurrency == 3
    assert (info.rate_limit.max, info.rate_limit.per_ms) == (5, 60_000)
