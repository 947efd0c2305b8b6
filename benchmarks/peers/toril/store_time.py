"""How long Redis itself works on a job, by its own account, in batches of a hundred."""

from collections.abc import Awaitable, Callable

from redis.asyncio import Redis

from benchmarks.measurement import Measurement, Params, Stored
from benchmarks.peers.toril.session import QUEUE, Place, completed, session
from toril.engine.contract.hot_path import Fetch
from toril.model.ids import new_id
from toril.model.job import NewJob
from toril.model.job_options import JobOptions, encode_options
from toril.model.settlement import Complete

BATCH = 100
LEASE_MS = 30_000
PLAIN = JobOptions()


async def store_time(params: Params, place: Place) -> Measurement:
    """Add jobs, then settle and fetch them, and read the server's counters before and after."""
    url = place(params.scratch, "jobs")
    async with session(url) as manager, Redis.from_url(url) as server:
        engine, queue = manager.engine, manager.queue(QUEUE).ref
        options = encode_options(PLAIN)

        async def add() -> None:
            for _ in range(params.jobs // BATCH):
                jobs = [
                    NewJob(new_id(), "noop", '{"p":"xy"}', PLAIN, options) for _ in range(BATCH)
                ]
                await engine.add(queue, jobs)

        async def work() -> None:
            done: list[Complete] = []
            for _ in range(params.jobs // BATCH):
                answer = await engine.exchange(queue, done, Fetch(BATCH, "bench", LEASE_MS))
                done = [Complete(lease, result_json="null") for lease in answer.leases]
            await engine.exchange(queue, done, None)

        count = params.jobs // BATCH * BATCH
        values = {
            "add_us": await _microseconds(server, add) / count,
            "exchange_us": await _microseconds(server, work) / count,
        }
        return Measurement(values, stored=Stored(count, await completed(manager)))


async def _microseconds(server: "Redis", work: Callable[[], Awaitable[None]]) -> float:
    await server.config_resetstat()
    await work()
    stats = await server.info("commandstats")
    return sum(
        float(stat["usec"]) for name, stat in stats.items() if name.startswith("cmdstat_eval")
    )
