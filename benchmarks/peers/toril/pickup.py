"""How soon an idle worker starts a job that was just added."""

import asyncio
import sys
from time import monotonic

from benchmarks.latency import percentiles_ms
from benchmarks.measurement import Measurement, Params, Runs
from benchmarks.peers.toril.session import PAYLOAD, QUEUE, Place, session
from toril import JobContext

PAUSE = 0.005
"""Long enough for the worker to be idle again."""
WARM_UP = 50
PATIENCE = 30.0


async def pickup(params: Params, place: Place) -> Measurement:
    """Producer and worker in one process, as in most peers' figures."""
    starts: asyncio.Queue[tuple[str, float]] = asyncio.Queue()
    added: list[str] = []
    ran: list[str] = []
    latencies: list[float] = []

    async def noop(job: JobContext) -> None:
        starts.put_nowait((job.id, monotonic()))

    async with session(place(params.scratch, "jobs"), noop) as manager:
        await manager.start_workers()
        for _ in range(WARM_UP + params.samples):
            await asyncio.sleep(PAUSE)
            added_at = monotonic()
            handle = await manager.add_job(QUEUE, "noop", PAYLOAD)
            job_id, started_at = await asyncio.wait_for(starts.get(), PATIENCE)
            added.append(handle.id)
            ran.append(job_id)
            latencies.append(started_at - added_at)
    return Measurement(percentiles_ms(latencies[WARM_UP:]), Runs.tally(added, ran))


async def pickup_across(params: Params, place: Place) -> Measurement:
    """Producer in another process: the worker is woken through the store alone."""
    url = place(params.scratch, "jobs")
    latencies: list[float] = []
    ran: list[str] = []
    all_ran = asyncio.Event()

    async def noop(job: JobContext) -> None:
        latencies.append(monotonic() - job.data["at"])
        ran.append(job.id)
        if len(ran) >= params.samples:
            all_ran.set()

    async with session(url, noop) as manager:
        await manager.start_workers()
        await _produce_elsewhere(url, params.samples)
        await asyncio.wait_for(all_ran.wait(), PATIENCE)
    return Measurement(percentiles_ms(latencies), Runs(params.samples, len(set(ran)), len(ran)))


async def _produce_elsewhere(url: str, count: int) -> None:
    module = "benchmarks.peers.toril.producer"
    command = (sys.executable, "-m", module, url, str(count))
    producer = await asyncio.create_subprocess_exec(*command)
    if await producer.wait():
        raise RuntimeError("the producer's process failed")
