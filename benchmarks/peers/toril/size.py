"""What a call costs with a small backlog and with a large one.

Both backlogs are open in one process and the calls alternate between them, so that the noise of
the machine falls on both alike.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from statistics import median
from time import perf_counter
from typing import TypeAlias

from benchmarks.measurement import Measurement, Params, Runs
from benchmarks.peers.toril.session import PAYLOAD, QUEUE, Place, fill, list_page, session, waiting
from toril import JobContext, QueueManager

CONCURRENCY = 100
PROCESSED = 2_000
BLOCKS = 5
BATCH = 100
PATIENCE = 60.0

Call: TypeAlias = Callable[[QueueManager], Awaitable[object]]


async def size(params: Params, place: Place) -> Measurement:
    """Time each kind of call on both backlogs."""
    urls = {"small": place(params.scratch, "small"), "large": place(params.shelf, "large")}
    backlogs = {"small": params.small, "large": params.large}
    values: dict[str, float] = {}
    for name, call in _CALLS.items():
        await _top_up_all(urls, backlogs)
        samples = min(params.samples, _MOST_SAMPLES.get(name, params.samples))
        values |= await _alternate(name, call, urls, samples)
    processed, runs = await _process_alternately(urls, backlogs)
    return Measurement(values | processed, runs)


async def _add_one(manager: QueueManager) -> object:
    return await manager.add_job(QUEUE, "noop", PAYLOAD)


async def _add_batch(manager: QueueManager) -> object:
    return await manager.add_bulk(QUEUE, [{"name": "noop", "data": PAYLOAD}] * BATCH)


async def _count(manager: QueueManager) -> object:
    return await manager.get_queue_metrics(QUEUE)


async def _list(manager: QueueManager) -> object:
    return await list_page(manager, QUEUE)


_CALLS: dict[str, Call] = {
    "counts": _count,
    "page": _list,
    "add_1": _add_one,
    "add_100": _add_batch,
}
_MOST_SAMPLES = {"add_100": 20}
"""So few that the small backlog stays small."""


async def _top_up_all(urls: dict[str, str], backlogs: dict[str, int]) -> None:
    for name, url in urls.items():
        async with session(url) as manager:
            await fill(manager, max(0, backlogs[name] - await waiting(manager)))


async def _alternate(name: str, call: Call, urls: dict[str, str], samples: int) -> dict[str, float]:
    times: dict[str, list[float]] = {backlog: [] for backlog in urls}
    async with AsyncExitStack() as stack:
        managers = {
            backlog: await stack.enter_async_context(session(url)) for backlog, url in urls.items()
        }
        for _ in range(samples):
            for backlog, manager in managers.items():
                start = perf_counter()
                await call(manager)
                times[backlog].append(perf_counter() - start)
    return {f"{name}_{backlog}_ms": median(taken) * 1000 for backlog, taken in times.items()}


async def _process_alternately(
    urls: dict[str, str], backlogs: dict[str, int]
) -> tuple[dict[str, float], Runs]:
    times: dict[str, list[float]] = {backlog: [] for backlog in urls}
    ran: list[str] = []
    for _ in range(BLOCKS):
        await _top_up_all(urls, {name: count + PROCESSED for name, count in backlogs.items()})
        for backlog, url in urls.items():
            times[backlog].append(await _process_some(url, ran))
    values = {f"process_{backlog}_ms": median(taken) * 1000 for backlog, taken in times.items()}
    return values, Runs.tally(ran, ran)


async def _process_some(url: str, ran: list[str]) -> float:
    """Seconds from the first to the last of `PROCESSED` handler starts."""
    starts: list[float] = []
    enough = asyncio.Event()

    async def noop(job: JobContext) -> None:
        starts.append(perf_counter())
        ran.append(job.id)
        if len(starts) >= PROCESSED:
            enough.set()

    async with session(url, noop) as manager:
        await manager.start_workers(concurrency=CONCURRENCY)
        await asyncio.wait_for(enough.wait(), PATIENCE)
    return starts[PROCESSED - 1] - starts[0]
