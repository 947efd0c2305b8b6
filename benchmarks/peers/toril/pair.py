"""Two worker processes on one queue: `python -m benchmarks.peers.toril.pair URL CONCURRENCY`.

A worker says that it is ready, begins when it is told to, and prints what it ran and how
much of a core it used.
"""

import asyncio
import sys
from time import perf_counter, process_time

import msgspec
from redis.asyncio import Redis

from benchmarks.measurement import Measurement, Params, Runs, Stored
from benchmarks.peers.toril.session import QUEUE, Place, completed, fill, session
from toril import JobContext

WORKERS = 2
READY = b"ready\n"


class Share(msgspec.Struct):
    """What one worker did."""

    ran: list[str]
    seconds: float
    cpu: float


async def pair(params: Params, place: Place) -> Measurement:
    """Drain a full queue with two processes, and see whose core is busy."""
    url = place(params.scratch, "jobs")
    async with session(url) as manager, Redis.from_url(url) as server:
        ids = await fill(manager, params.jobs * WORKERS)
        workers = [await _start(url, params.concurrency) for _ in range(WORKERS)]
        before, start = await _cpu(server), perf_counter()
        for worker in workers:
            assert worker.stdin is not None
            worker.stdin.write(b"go\n")
        outputs = [(await worker.communicate())[0] for worker in workers]
        used, elapsed = await _cpu(server) - before, perf_counter() - start
        shares = [msgspec.json.decode(output, type=Share) for output in outputs]
        stored = Stored(len(ids), await completed(manager))
    longest = max(share.seconds for share in shares)
    values = {
        "rate": len(ids) / longest,
        "redis_percent": used / elapsed * 100,
        "worker_percent": max(share.cpu / share.seconds for share in shares) * 100,
    }
    ran = [job_id for share in shares for job_id in share.ran]
    return Measurement(values, Runs.tally(ids, ran), stored)


async def _start(url: str, concurrency: int) -> asyncio.subprocess.Process:
    command = (sys.executable, "-m", "benchmarks.peers.toril.pair", url, str(concurrency))
    pipe = asyncio.subprocess.PIPE
    worker = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe)
    assert worker.stdout is not None
    if await worker.stdout.readline() != READY:
        raise RuntimeError("a worker did not start")
    return worker


async def _cpu(server: "Redis") -> float:
    told = await server.info("cpu")
    return float(told["used_cpu_user_main_thread"]) + float(told["used_cpu_sys_main_thread"])


async def _work(url: str, concurrency: int) -> None:
    ran: list[str] = []

    async def noop(job: JobContext) -> None:
        ran.append(job.id)

    async with session(url, noop) as manager:
        await manager.queue(QUEUE).counts()  # connected
        sys.stdout.buffer.write(READY)
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.readline)
        start, busy = perf_counter(), process_time()
        await manager.run_workers(concurrency=concurrency, burst=True)
        share = Share(ran, perf_counter() - start, process_time() - busy)
    sys.stdout.buffer.write(msgspec.json.encode(share))


if __name__ == "__main__":
    from benchmarks.peers.event_loop import run

    run(_work(sys.argv[1], int(sys.argv[2])))
