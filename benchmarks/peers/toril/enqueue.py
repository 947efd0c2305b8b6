"""How fast jobs are accepted."""

import asyncio
from time import perf_counter

from benchmarks.measurement import Measurement, Params, Stored
from benchmarks.peers.toril.session import PAYLOAD, QUEUE, Place, fill, session, waiting
from toril import QueueManager

CALLERS = 100


async def add_bulk(params: Params, place: Place) -> Measurement:
    """Add all jobs by `add_bulk`, a thousand a call."""
    async with session(place(params.scratch, "jobs")) as manager:
        start = perf_counter()
        await fill(manager, params.jobs)
        return await _accepted(manager, params, perf_counter() - start)


async def add_each(params: Params, place: Place) -> Measurement:
    """Add all jobs by `add_job`, from a hundred coroutines that each await their own."""
    shares = [len(range(caller, params.jobs, CALLERS)) for caller in range(CALLERS)]
    async with session(place(params.scratch, "jobs")) as manager:
        start = perf_counter()
        await asyncio.gather(*(_call(manager, share) for share in shares))
        return await _accepted(manager, params, perf_counter() - start)


async def _call(manager: QueueManager, times: int) -> None:
    for _ in range(times):
        await manager.add_job(QUEUE, "noop", PAYLOAD)


async def _accepted(manager: QueueManager, params: Params, elapsed: float) -> Measurement:
    stored = Stored(params.jobs, await waiting(manager))
    return Measurement({"rate": params.jobs / elapsed}, stored=stored)
