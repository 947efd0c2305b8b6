"""After its end a manager leaves no thread, task, process, file or warning behind."""

import asyncio
import gc
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.worker import jobs
from tests.worker.waiting import failure_of, until
from toril import QueueManager, ResultTimeoutError, Settings


def open_files():
    return {str(path.readlink()) for path in Path("/proc/self/fd").iterdir() if path.is_symlink()}


def children():
    return Path(f"/proc/self/task/{os.getpid()}/children").read_text()


def toril_threads():
    return [t.name for t in threading.enumerate() if t.name.startswith("toril")]


async def everything(url, settings):
    """Use a manager for all that opens something."""
    async with QueueManager(url, settings=Settings()) as manager:
        queue = manager.register_queue("q")
        task = queue.task(jobs.double)
        process = queue.task("process", run_in="process")(jobs.double)
        fails = queue.task(attempts=2, backoff=0.01)(jobs.raise_value_error)
        await manager.start_workers(settings=settings())
        await manager.start_workers(settings=settings())
        assert await (await task.enqueue(1)).result(10) == 2
        assert await (await process.enqueue(2)).result(10) == 4
        await failure_of(await fails.enqueue())
        later = await task.options(delay=60).enqueue(3)
        with pytest.raises(ResultTimeoutError):
            await later.result(0.01)
        waits = asyncio.create_task(later.result(60))
        await asyncio.to_thread(manager.sync.add_job, "q", "double", {"x": 4})
        await asyncio.sleep(0)
        waits.cancel()


async def test_no_thread_task_or_process_is_left(url, settings):
    before, children_before = asyncio.all_tasks(), children()
    await everything(url, settings)

    await until(lambda: not toril_threads())
    await until(lambda: asyncio.all_tasks() == before)
    assert children() == children_before


async def test_no_file_or_socket_is_left(file_url, settings, tmp_path):
    await everything(file_url, settings)
    gc.collect()
    before = open_files()
    await everything(file_url, settings)

    def opened():
        gc.collect()
        return {name for name in open_files() - before if not name.startswith("anon")}

    await until(lambda: not [name for name in opened() if str(tmp_path) in name])
    assert {name.split(":")[0] for name in opened()} <= set()


async def test_beside_the_store_nothing_is_left_in_its_folder(file_url, settings, tmp_path):
    await everything(file_url, settings)

    assert {path.name for path in tmp_path.iterdir()} <= {
        "toril.db",
        "toril.db-wal",
        "toril.db-shm",
    }


async def test_a_hundred_managers_leave_as_much_as_one(tmp_path):
    async def use(n):
        async with QueueManager(f"sqlite:///{tmp_path}/{n}.db", settings=Settings()) as manager:
            await manager.add_job("q")

    await use(0)
    gc.collect()
    before = len(open_files())
    for n in range(1, 30):
        await use(n)
    gc.collect()

    assert len(open_files()) <= before
    assert toril_threads() == []


PROGRAM = """
import asyncio, sys
from tests.worker import jobs
from toril import QueueManager, Settings, WorkerSettings

async def main():
    async with QueueManager("memory://", settings=Settings()) as manager:
        queue = manager.register_queue("q")
        task = queue.task(jobs.double)
        process = queue.task("process", run_in="process")(jobs.double)
        await manager.start_workers(settings=WorkerSettings(report_every=0))
        assert await (await task.enqueue(1)).result(10) == 2
        assert await (await process.enqueue(2)).result(10) == 4
        await task.options(delay=60).enqueue(3)

asyncio.run(main(), debug="debug" in sys.argv)
"""

SYNC_PROGRAM = """
from toril import QueueManager, Settings
manager = QueueManager("memory://", settings=Settings())
handle = manager.sync.add_job("q")
assert handle.state() == "waiting"
"""


@pytest.mark.parametrize(
    ("program", "arguments"),
    [(PROGRAM, []), (PROGRAM, ["debug"]), (SYNC_PROGRAM, [])],
    ids=["plain", "in asyncio's debug mode", "sync, and never closed"],
)
def test_a_program_ends_without_a_word(program, arguments):
    """Whatever was not awaited or not closed would say so when the interpreter ends."""
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", program, *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
    )

    errors = [line for line in done.stderr.splitlines() if "Executing <" not in line]
    assert (done.returncode, errors, done.stdout) == (0, [], "")
