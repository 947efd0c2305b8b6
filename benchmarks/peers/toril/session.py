"""What every scenario needs of Toril: a manager, a queue, and jobs that do nothing."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

from toril import JobContext, QueueManager

QUEUE = "bench"
PAYLOAD = {"p": "xy"}
"""Ten bytes as JSON, the same for every peer."""
CHUNK = 1_000

Place: TypeAlias = Callable[[str, str], str]
"""From a directory and a name to the URL of a store."""
Handler: TypeAlias = Callable[[JobContext], Any]


@asynccontextmanager
async def session(url: str, handler: Handler | None = None) -> AsyncIterator[QueueManager]:
    """Open a manager with the benchmark's queue; without a handler it only produces."""
    manager = QueueManager(url)
    manager.register_queue(QUEUE)
    if handler is not None:
        manager.register_processor(QUEUE, handler)
    async with manager:
        yield manager


async def fill(manager: QueueManager, count: int) -> list[str]:
    """Add `count` jobs in chunks, and return their ids."""
    ids: list[str] = []
    for start in range(0, count, CHUNK):
        jobs = [{"name": "noop", "data": PAYLOAD} for _ in range(min(CHUNK, count - start))]
        ids.extend(handle.id for handle in await manager.add_bulk(QUEUE, jobs))
    return ids


async def waiting(manager: QueueManager) -> int:
    """How many jobs wait."""
    metrics = await manager.get_queue_metrics(QUEUE)
    return int(metrics.waiting)


async def completed(manager: QueueManager) -> int:
    """How many jobs are completed."""
    metrics = await manager.get_queue_metrics(QUEUE)
    return int(metrics.completed)


async def list_page(manager: QueueManager, queue: str) -> object:
    """Read the first page of the jobs that wait."""
    return await manager.queue(queue).jobs(state="waiting", limit=50)
