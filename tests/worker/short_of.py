"""A worker on a host that lacks something, in a process of its own that may be limited.

python -m tests.worker.short_of files|threads|memory KIND SIZE: prints what happens to a job with
an argument of so many bytes. More than a kibibyte is kept in a payload store.
"""

import asyncio
import json
import logging
import os
import resource
import sys
import tempfile
import threading
from pathlib import Path

from tests.worker import jobs
from tests.worker.kinds import as_task
from tests.worker.waiting import until
from toril import QueueManager, Settings, WorkerSettings

SOME_USER = 54_321  # root may have any number of threads and processes
_MEBIBYTE = 1 << 20

lack, kind, size = sys.argv[1:] if __name__ == "__main__" else ("", "", "")


class Heard(logging.Handler):
    """Keeps what is logged."""

    def __init__(self):
        super().__init__()
        self.lines = []

    def emit(self, record):
        self.lines.append(record.getMessage())

    def count(self, text):
        return sum(text in line for line in self.lines)


def limit(of, soft):
    resource.setrlimit(of, (soft, resource.getrlimit(of)[1]))


def tighten(lack):
    match lack:
        case "files":
            free = os.open(os.devnull, os.O_RDONLY)
            os.close(free)
            limit(resource.RLIMIT_NOFILE, free)
        case "threads":
            limit(resource.RLIMIT_NPROC, 1)
            if os.getuid() == 0:
                os.setresuid(SOME_USER, SOME_USER, 0)
        case "memory":
            threading.stack_size(512 * _MEBIBYTE)
            used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            limit(resource.RLIMIT_AS, used + 256 * _MEBIBYTE)


def loosen():
    if os.getresuid()[2] == 0:
        os.setresuid(0, 0, 0)
    for of in (resource.RLIMIT_NOFILE, resource.RLIMIT_NPROC, resource.RLIMIT_AS):
        limit(of, resource.getrlimit(of)[1])
    threading.stack_size(0)


async def quick() -> str:
    return "quick"


async def run(folder, *, short):
    """Run a job with a manager and a worker of its own, on a host that lacks something or not."""
    manager = QueueManager(
        "memory://", settings=Settings(), payload_store=folder, payload_threshold=1024
    )
    settings = WorkerSettings(concurrency=1, processes=1, report_every=0, grace=1)
    async with manager:
        queue = manager.register_queue("q")
        task = as_task(queue, jobs.say, kind)
        warm = queue.task(quick)
        await manager.start_workers(settings=settings)
        await (await warm.enqueue()).result(30)
        await queue.pause()
        handle = await task.enqueue("x" * int(size))
        if not short:
            await queue.resume()
            await handle.result(30)
            return None
        tighten(lack)
        await queue.resume()
        await until(lambda: heard.count("cannot start handlers"))
        job = await until(lambda: released(handle))
        loosen()
        result = await handle.result(30)
        await until(lambda: heard.count("handlers can be started again"))
        return {
            "attempts used": job.attempts_made,
            "state": job.state,
            "result": len(result),
            "times said": heard.count("cannot start handlers"),
            "said": next(line for line in heard.lines if "cannot start" in line),
        }


async def main():
    with tempfile.TemporaryDirectory() as folder:
        await run(folder, short=False)  # imports everything
        print(json.dumps(await run(folder, short=True)), file=sys.stderr)


async def released(handle):
    job = await handle.job()
    return job if job.state != "active" else None


heard = Heard()

if __name__ == "__main__":
    logging.getLogger("toril.worker").addHandler(heard)
    asyncio.run(main())
