"""The programs in docs/guides/from-bullmq.md: both sides of each pair leave the same behind."""

import asyncio
import inspect
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, blocks, compiled
from tests.interop.agent import PATIENCE
from tests.interop.waiting import failure_of, until_state
from toril import JobFailedError, JobState

PAGE = ROOT / "docs" / "guides" / "from-bullmq.md"
PACKAGES = Path(__file__).parent / "node" / "node_modules"
ANSWER = "console.log(JSON.stringify(typeof result === 'undefined' ? null : result));"
BOTH = pytest.mark.parametrize("side", ["node", "toril"])

DATA = {"to": "ada@example.com", "subject": "Hello"}
SENT = {"sent": "ada@example.com"}
OPTIONS = {
    "mail-7": {
        "attempts": 5,
        "backoff": {"type": "exponential", "delay": 2000},
        "delay": 60_000,
        "removeOnComplete": {"age": 3600, "count": 1000},
    },
    "mail-8": {"priority": 2, "attempts": 3},
    "mail-9": {"deduplication": {"id": "simple"}},
    "mail-10": {"deduplication": {"id": "throttle", "ttl": 5000}},
    "mail-11": {
        "delay": 5000,
        "deduplication": {"id": "debounce", "ttl": 5000, "extend": True, "replace": True},
    },
    "mail-12": {},
    "mail-13": {"lifo": True},
}


@pytest.fixture
async def run(server, tmp_path):
    """Run a program of the page on the test's server; what it started ends with the test."""
    (tmp_path / "node_modules").symlink_to(PACKAGES)
    processes, managers = [], []

    async def run(side, name):
        (block,) = [block for block in blocks(PAGE) if block.mark == f"{side}: {name}"]
        text = block.text.replace("6379", str(server.port))
        if side == "toril":
            names = {"__name__": "page"}
            outcome = eval(compiled(replace(block, text=text)), names)
            if inspect.iscoroutine(outcome):
                await asyncio.wait_for(outcome, PATIENCE)
            managers.append(names["manager"])
            return names
        file = tmp_path / f"{name}.mjs"
        file.write_text(f"{text}\n{ANSWER}\n")
        processes.append(
            await asyncio.create_subprocess_exec(
                shutil.which("node"), file, stdout=asyncio.subprocess.PIPE
            )
        )
        line = await asyncio.wait_for(processes[-1].stdout.readline(), PATIENCE)
        return {"result": json.loads(line)}

    yield run
    for process in processes:
        process.kill()
        await process.wait()
    for manager in managers:
        await manager.shutdown()


@pytest.fixture
def run_worker(run):
    """Start the page's worker of a side."""

    async def start(side, name="worker"):
        names = await run(side, name)
        if side == "toril":
            await names["manager"].start_workers()

    return start


@pytest.fixture
async def mails(manager):
    """The queue of the page, as Toril sees it."""
    queue = manager.queue("mails")
    await manager.open()
    return queue


@BOTH
async def test_both_store_the_same_jobs(run, node, mails, side):
    await run(side, "add")

    theirs = node.queue("mails")
    jobs = {job_id: await theirs.look(job_id) for job_id in OPTIONS}
    assert all(job["data"] == DATA for job in jobs.values())
    assert {job_id: told(job["opts"]) for job_id, job in jobs.items()} == OPTIONS
    states = [await theirs.state(job_id) for job_id in OPTIONS]
    assert states == ["delayed", "prioritized", "waiting", "waiting", "delayed", *["waiting"] * 2]
    waiting = (await mails.jobs("waiting")).jobs
    assert [job.id for job in waiting] == ["mail-13", "mail-9", "mail-10", "mail-12"]


def told(options):
    """Return what a job's options say beyond what is so anyway."""
    anyway = {"jobId": [options["jobId"]], "removeOnFail": [False], "attempts": [0, 1]}
    return {name: value for name, value in options.items() if value not in anyway.get(name, [])}


@BOTH
async def test_both_workers_end_jobs_alike(run_worker, mails, side):
    sent = await mails.add("send", DATA)
    refused = await mails.add("send", {**DATA, "to": "nobody"}, attempts=3)
    snoozed = await mails.add("send", {**DATA, "to": "night@example.com"})
    flaky = await mails.add("send", {**DATA, "to": "flaky@example.com"}, attempts=2)

    await run_worker(side)

    assert await sent.result(timeout=PATIENCE) == SENT
    assert (await sent.progress(), await sent.logs()) == (100, ["to ada@example.com"])
    assert await snoozed.result(timeout=PATIENCE) == {"sent": "night@example.com"}
    assert await flaky.result(timeout=PATIENCE) == {"sent": "flaky@example.com"}
    await until_state(refused, JobState.FAILED)
    made = [(await handle.job()).attempts_made for handle in (sent, refused, snoozed, flaky)]
    assert made == [1, 1, 1, 2]
    assert (await refused.job()).failed_reason == "no address"


async def test_a_field_that_a_task_does_not_know_fails_the_job(run_worker, node, mails):
    handle = await mails.add("send", {**DATA, "cc": "grace@example.com"}, attempts=3)

    await run_worker("toril")

    error = await failure_of(handle)
    assert isinstance(error, JobFailedError)
    assert error.error_type == "ArgumentsInvalid"
    assert (await handle.job()).attempts_made == 1


async def test_a_processor_takes_a_field_that_it_does_not_know(run_worker, node, mails):
    theirs = node.queue("mails")
    job_id = await theirs.add("send", {**DATA, "cc": "grace@example.com"})

    await run_worker("toril", "processor")

    assert await theirs.finished(job_id) == SENT


@BOTH
async def test_both_set_the_same_limits(run, node, mails, side):
    await run(side, "limits")

    theirs = node.queue("mails")
    assert await theirs.call("getGlobalConcurrency") == 20
    assert await theirs.call("getGlobalRateLimit") == {"max": 100, "duration": 60_000}
    info = await mails.info()
    assert (info.concurrency, info.rate_limit.max, info.rate_limit.per_ms) == (20, 100, 60_000)


@BOTH
@pytest.mark.parametrize("worker", ["node", "toril"])
async def test_both_wait_for_results_of_either_worker(run, run_worker, side, worker):
    await run_worker(worker)

    assert (await run(side, "results"))["result"] == SENT


@BOTH
async def test_both_control_alike(run, run_worker, mails, side):
    done = await mails.add("send", DATA)
    failed = await mails.add("send", {**DATA, "to": "nobody"})
    await run_worker("node")
    await done.result(timeout=PATIENCE)
    await until_state(failed, JobState.FAILED)
    delayed = await mails.add("send", DATA, delay="1h")

    await run(side, "control")

    assert (await mails.info()).paused
    assert await mails.get(done.id) is None
    assert [await failed.state(), await delayed.state()] == [JobState.WAITING] * 2


async def test_torils_workers_run_the_jobs_of_a_flow(run, run_worker, manager, node):
    await run("node", "flow")
    reports = manager.queue("reports")
    assert await reports.handle("report-1").state() is JobState.WAITING_CHILDREN

    await run_worker("toril", "processor")

    await until_state(reports.handle("report-1"), JobState.WAITING)
