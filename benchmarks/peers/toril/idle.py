"""What a worker costs while it has nothing to do."""

import asyncio
import os
from pathlib import Path
from time import monotonic, process_time

from benchmarks.measurement import Measurement, Params
from benchmarks.peers.toril.session import Place, fill, session
from toril import JobContext

SETTLE = 1.0
WARM_UP_JOBS = 1_000
CONCURRENCY = 100
MEGABYTE = 1024 * 1024


async def idle(params: Params, place: Place) -> Measurement:
    """Process a thousand jobs, fall idle, and watch the worker for a while."""
    async with session(place(params.scratch, "jobs"), _noop) as manager:
        await fill(manager, WARM_UP_JOBS)
        await manager.start_workers(concurrency=CONCURRENCY)
        await asyncio.sleep(SETTLE)
        busy, start = process_time(), monotonic()
        await asyncio.sleep(params.seconds)
        used = (process_time() - busy) / (monotonic() - start)
        return Measurement({"cpu_percent": used * 100, "resident_mb": _resident() / MEGABYTE})


async def _noop(job: JobContext) -> None:
    """Do nothing."""


def _resident() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
