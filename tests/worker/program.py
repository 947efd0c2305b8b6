"""Workers in processes of their own, for tests that signal, stop or kill them.

python -m tests.worker.program SCENARIO URL FILE: each job that starts adds a line to FILE.
"""

import asyncio
import logging
import sys
import time

from tests.worker import jobs
from toril import JobContext, LeaseLost, QueueManager, Settings, WorkerSettings

scenario, url, path = sys.argv[1:4] if len(sys.argv) > 3 else ("", "memory://", "")
manager = QueueManager(url, settings=Settings())


def settings(**given):
    known = {"concurrency": 4, "processes": 1, "lease": 1, "report_every": 0}
    return WorkerSettings(**{**known, **given})


async def sleep(job: JobContext) -> str:
    """Run for as long as the job says, and say when it starts."""
    jobs.mark(path, "started")
    await asyncio.sleep(job.data)
    jobs.mark(path, "finished")
    return "slept"


def block(job: JobContext) -> str:
    """The same in a thread, which nobody can stop."""
    jobs.mark(path, "started")
    time.sleep(job.data)
    return "blocked"


def note(event):
    jobs.mark(path, type(event).__name__)


async def main():
    match scenario:
        case "sleep":
            manager.register_processor("q", sleep)
            await manager.run_workers(settings=settings(grace=30))
        case "impatient":
            manager.register_processor("q", sleep)
            await manager.run_workers(settings=settings(grace=0.1))
        case "block":
            manager.register_processor("q", block)
            await manager.run_workers(settings=settings(grace=30))
        case "processes" | "stuck" | "program" | "stuck program":
            queue = manager.register_queue("q")
            function = {
                "processes": jobs.run_for_ever,
                "stuck": jobs.hold_the_interpreter,
                "program": jobs.start_a_program_and_stay,
                "stuck program": jobs.start_a_program_and_hold,
            }[scenario]
            task = queue.task(run_in="process")(function)
            await task.enqueue(path)
            await manager.run_workers(settings=settings())
        case "lease":
            manager.on(LeaseLost, note)
            manager.register_processor("q", sleep)
            await manager.run_workers(settings=settings(lease=0.4, grace=5))
    await manager.shutdown()
    jobs.mark(path, "ended")


if __name__ == "__main__":
    logging.basicConfig(level="INFO", format="%(message)s")
    asyncio.run(main())
