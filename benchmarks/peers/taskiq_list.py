"""Taskiq on a Redis list: at most once, as a worker that dies takes what it fetched with it."""

from redis.asyncio import Redis
from taskiq_redis import ListQueueBroker

from benchmarks.measurement import Measurement, Params, Scenario
from benchmarks.peers.redis_store import QUEUE, url
from benchmarks.peers.taskiq_worker import measure


def run(scenario: Scenario, params: Params) -> Measurement:
    """Measure one scenario."""
    broker = ListQueueBroker(url(params.redis_port), queue_name=QUEUE)

    async def waiting() -> int:
        async with Redis.from_url(url(params.redis_port)) as redis:
            return int(await redis.llen(QUEUE))

    return measure(scenario, params, broker, waiting)
