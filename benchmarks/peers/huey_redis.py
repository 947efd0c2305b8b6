"""Huey on Redis: worker threads, no results kept, no priorities.

Threads block on a read of their own (its default): polling instead gained nothing. There is no bulk
call: `map`, too, enqueues one by one. At most once: what a worker fetched is gone if it dies.
"""

from huey import RedisHuey  # type: ignore[import-untyped]

from benchmarks.measurement import Measurement, Params, Scenario
from benchmarks.peers.huey_threads import measure
from benchmarks.peers.redis_store import QUEUE, url


def run(scenario: Scenario, params: Params) -> Measurement:
    """Measure one scenario."""
    huey = RedisHuey(QUEUE, url=url(params.redis_port), results=False)
    return measure(scenario, params, huey)
