"""Taskiq on a Redis stream: acknowledged after the run; the stream is not trimmed (its default)."""

from redis.asyncio import Redis
from taskiq_redis import RedisStreamBroker

from benchmarks.measurement import Measurement, Params, Scenario
from benchmarks.peers.redis_store import QUEUE, url
from benchmarks.peers.taskiq_worker import measure

FROM_THE_FIRST = "0"
READ = 1_000
"""Messages a read: at least as fast as the default of 100."""


def run(scenario: Scenario, params: Params) -> Measurement:
    """Measure one scenario."""
    broker = RedisStreamBroker(
        url(params.redis_port), queue_name=QUEUE, consumer_id=FROM_THE_FIRST, xread_count=READ
    )

    async def waiting() -> int:
        """Count what the group has not read, and what it has not acknowledged."""
        async with Redis.from_url(url(params.redis_port)) as redis:
            (group,) = await redis.xinfo_groups(QUEUE)
            return int(group["lag"]) + int(group["pending"])

    return measure(scenario, params, broker, waiting)
