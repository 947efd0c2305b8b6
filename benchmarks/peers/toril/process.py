"""How fast waiting jobs are processed."""

from time import perf_counter

from benchmarks.measurement import Measurement, Params, Runs, Stored
from benchmarks.peers.toril.session import Place, completed, fill, session
from toril import JobContext


async def process(params: Params, place: Place) -> Measurement:
    """Drain a full queue; the clock runs from the worker's start until it has stopped."""
    ran: list[str] = []

    async def noop(job: JobContext) -> None:
        ran.append(job.id)

    async with session(place(params.scratch, "jobs"), noop) as manager:
        ids = await fill(manager, params.jobs)
        start = perf_counter()
        await manager.run_workers(concurrency=params.concurrency, burst=True)
        elapsed = perf_counter() - start
    async with session(place(params.scratch, "jobs")) as manager:
        stored = Stored(params.jobs, await completed(manager))
    return Measurement({"rate": params.jobs / elapsed}, Runs.tally(ids, ran), stored)
