"""How soon an idle worker of many queues starts a job, and what it costs to wait for all of them.

python -m benchmarks.many_queues: a Redis server of its own and a file, two minutes, a table.
"""

import asyncio
import resource
import statistics
import sys
import time
from subprocess import run
from tempfile import TemporaryDirectory

from redis import Redis

from benchmarks.redis_server import HOST, redis_server
from toril import JobContext, QueueManager, Settings

SIZES = (1, 1_000, 5_000)
TRIES = 30
SETTLE_SECONDS = 6  # more than the five after which lost wake-ups are looked for
IDLE_SECONDS = 15


async def measure(url: str, queues: int) -> str:
    """Return a row of the table: the job is always of the queue that was registered last."""
    started: dict[int, asyncio.Future[float]] = {}

    async def process(job: JobContext) -> None:
        started[job.data["n"]].set_result(time.perf_counter())

    manager = QueueManager(url, settings=Settings())
    for n in range(queues):
        manager.register_processor(f"q{n:05}", process)
    producer = QueueManager(url, settings=Settings())
    async with manager, producer:
        await manager.start_workers(10)
        await asyncio.sleep(SETTLE_SECONDS)
        waits = []
        for n in range(TRIES):
            started[n] = asyncio.get_running_loop().create_future()
            begun = time.perf_counter()
            await producer.add_job(f"q{queues - 1:05}", "go", {"n": n})
            waits.append((await started[n] - begun) * 1000)
            await asyncio.sleep(0.1)
        cpu, wall = time.process_time(), time.perf_counter()
        await asyncio.sleep(IDLE_SECONDS)
        share = (time.process_time() - cpu) / (time.perf_counter() - wall)
        connections = count_connections(url)
    megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return (
        f"| {manager.engine.capabilities.name} | {queues:,} | {statistics.median(waits):.1f} "
        f"| {max(waits):.1f} | {connections} | {share:.2%} | {megabytes:.0f} |"
    )


def count_connections(url: str) -> str:
    """Return how many connections the server has, the producer's two included."""
    if not url.startswith("redis"):
        return "–"
    with Redis.from_url(url) as client:
        return str(len(client.client_list()) - 1)


def measure_apart(url: str, queues: int) -> None:
    """Measure in a process of its own: memory is the process's most."""
    run([sys.executable, "-m", "benchmarks.many_queues", url, str(queues)], check=True)


def main() -> None:
    if len(sys.argv) > 1:
        print(asyncio.run(measure(sys.argv[1], int(sys.argv[2]))), flush=True)
        return
    print("| store | queues | start p50, ms | start max, ms | connections | idle CPU | MB |")
    print("|---|---|---|---|---|---|---|", flush=True)
    for queues in SIZES:
        with redis_server() as port:
            measure_apart(f"redis://{HOST}:{port}/0", queues)
        with TemporaryDirectory() as folder:
            measure_apart(f"sqlite:///{folder}/jobs.db", queues)


if __name__ == "__main__":
    main()
