"""An asyncio program that adds jobs and runs them in the background."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from toril import QueueManager, WorkerSettings

manager = QueueManager("sqlite:///site.db")
emails = manager.register_queue("emails")


@emails.task
async def send_welcome(to: str) -> str:
    return f"sent to {to}"


@asynccontextmanager
async def lifespan(_app: object = None) -> AsyncIterator[None]:
    """Open on startup and close on shutdown: pass this to your web framework."""
    async with manager:
        await manager.start_workers(settings=WorkerSettings(concurrency=5, grace=10))
        yield


async def handle_request(address: str) -> str:
    """Stand in for a request handler: return as soon as the job is stored."""
    handle = await send_welcome.enqueue(address)
    return handle.id


async def main() -> None:
    async with lifespan():
        ids = await asyncio.gather(*(handle_request(f"{n}@example.com") for n in range(100)))
        results = [await emails.handle(job_id).result(timeout=10) for job_id in ids]
        print(len(results), "jobs;", results[0], "…", results[-1])


if __name__ == "__main__":
    asyncio.run(main())
