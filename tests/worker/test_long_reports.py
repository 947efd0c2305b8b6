"""What a handler reports is limited in length and number, and it is marked where it was cut."""

import asyncio

import pytest

from tests.worker import jobs
from tests.worker.kinds import KINDS, as_task
from tests.worker.waiting import failure_of
from toril.engine.contract.rules import KEPT_LINES
from toril.engine.sqlite import SqliteEngine
from toril.model.job import Lease, QueueRef
from toril.queues.context import MAX_LINE, MAX_PROGRESS
from toril.worker.progress import Reports


@pytest.mark.parametrize("kind", KINDS)
async def test_a_log_keeps_its_newest_lines(queue, work, kind):
    task = as_task(queue, jobs.log_much, kind)
    await work()
    handle = await task.enqueue(25_000)
    await handle.result(25)

    lines = await handle.logs(limit=30_000)
    assert len(lines) == KEPT_LINES
    assert lines[-1] == "24999"
    assert int(lines[1]) + KEPT_LINES - 1 == 25_000


@pytest.mark.parametrize("kind", KINDS)
async def test_a_long_line_is_cut_and_says_so(queue, work, kind):
    task = as_task(queue, jobs.log_much, kind)
    await work()
    handle = await task.enqueue(1, 1_000_000)
    await handle.result(25)

    (line,) = await handle.logs()
    assert len(line) == MAX_LINE
    assert line.endswith(".…")


@pytest.mark.parametrize("kind", KINDS)
async def test_a_large_progress_is_cut_and_says_so(queue, work, kind):
    task = as_task(queue, jobs.report_much, kind)
    await work()
    handle = await task.enqueue()
    await handle.result(25)

    progress = await handle.progress()
    assert len(progress) <= MAX_PROGRESS
    assert progress.startswith('{"log":"xxx')
    assert progress.endswith("x…")


@pytest.mark.parametrize("kind", KINDS)
async def test_a_long_error_is_cut_and_says_so(queue, work, kind):
    task = as_task(queue, jobs.raise_much, kind)
    await work()
    error = await failure_of(await task.enqueue())

    assert len(error.reason) < 5_000
    assert error.reason.endswith("x…")


async def test_a_store_that_is_slow_does_not_make_a_worker_keep_all_lines():
    """A million lines: what does not fit is counted, and its place is marked."""
    noted, gate = [], asyncio.Event()

    class SlowEngine(SqliteEngine):
        async def note(self, queue, notes):
            noted.extend(line for note in notes for line in note.lines)
            await gate.wait()

    reports = Reports(SlowEngine(None), asyncio.get_running_loop())
    lease = Lease(QueueRef("bull", "q"), "a", "w:1", "n", "{}", "{}", 0, 0, 0, 1, 0, 0, None)
    flushes = []
    for number in range(1_000_000):
        reports.line(lease, f"{number:09}" * 50)
        if number % 100_000 == 0:
            flushes.append(asyncio.create_task(reports.flush(lease.queue)))
            await asyncio.sleep(0)
    gate.set()
    await asyncio.gather(*flushes)
    await reports.flush(lease.queue)

    assert sum(map(len, noted)) < 10_000_000
    assert noted[-1].startswith("000999999")
    missing = sum(int(line.split()[1].replace(",", "")) for line in noted if line[0] == "…")
    marks = sum(line[0] == "…" for line in noted)
    assert missing + len(noted) - marks == 1_000_000
