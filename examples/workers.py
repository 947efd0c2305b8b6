"""Three kinds of handlers, the outcomes of an attempt, middleware, and events."""

import asyncio
import hashlib
import time
from typing import Any

from toril import (
    CallNext,
    Cancel,
    JobContext,
    JobFailed,
    QueueManager,
    Retry,
    Snooze,
    Unrecoverable,
    WorkerSettings,
)

manager = QueueManager("sqlite:///work.db")
queue = manager.register_queue("work")
failures: list[str] = []


@queue.task(attempts=2)
async def fetch(job: JobContext, url: str) -> str:  # on the event loop
    if job.attempt == 1:
        raise Retry("the server is busy", after="50ms")
    return f"fetched {url}"


@queue.task
def resize(image: str) -> str:  # in a thread
    time.sleep(0.05)
    return f"resized {image}"


@queue.task(run_in="process", timeout="10s")
def checksum(text: str) -> str:  # in a separate process, killed at its timeout
    return hashlib.sha256(text.encode()).hexdigest()[:8]


@queue.task(attempts=5)
async def publish(job: JobContext, page: str) -> str:
    if page == "draft":
        raise Cancel("it is a draft")
    if page == "broken":
        raise Unrecoverable("no attempt can succeed")
    if "snoozed" not in await queue.handle(job.id).logs():
        job.log("snoozed")
        raise Snooze("100ms")  # run again later, without using an attempt
    return f"published {page} at attempt {job.attempt}"


@manager.add_middleware
async def timed(job: JobContext, call_next: CallNext) -> Any:
    started = time.perf_counter()
    try:
        return await call_next()
    finally:
        job.log(f"took {time.perf_counter() - started:.3f} s")


@manager.on(JobFailed)
def note_failure(event: JobFailed) -> None:
    failures.append(f"{event.error.type}: {event.error.message}")


async def main() -> None:
    async with manager:
        done = [
            await fetch.enqueue("https://example.com"),
            await resize.enqueue("cat.png"),
            await checksum.enqueue("toril"),
            await publish.enqueue("home"),
        ]
        await publish.enqueue("draft")
        await publish.enqueue("broken")

        settings = WorkerSettings(concurrency=4, processes=1, grace=10)
        await manager.run_workers(burst=True, settings=settings)

        for handle in done:
            print(await handle.result(timeout=10))
        print(sorted(failures))


if __name__ == "__main__":
    asyncio.run(main())
