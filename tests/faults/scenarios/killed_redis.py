"""kill -9 of the Redis server under load of Toril and Node.js, and its return."""

from __future__ import annotations

import asyncio

from tests.faults.checker import Expected
from tests.faults.ledger import Info
from tests.faults.load import Load
from tests.faults.scenario import Scale, scenario
from tests.faults.stage import Stage

AWAY = (0.2, 2.0)  # seconds
LONG_AWAY = 12.0  # every tenth time: workers have come to their longest pauses


@scenario("killed-redis", on=("redis",))
async def killed_redis(stage: Stage, scale: Scale) -> Expected:
    """What was accepted by either side is there, and workers go on by themselves."""
    load = await Load.start(stage, node=True)
    for turn in range(1, scale.rounds + 1):
        await load.is_felt(runs=stage.random.randint(1, 300))
        stage.redis.kill()
        stage.struck("kill -9 of Redis")
        await asyncio.sleep(LONG_AWAY if turn % 10 == 0 else stage.random.uniform(*AWAY))
        await asyncio.to_thread(stage.redis.start)
        await load.goes_on()
    await load.end()
    stage.notes.append(f"{len(stage.said(Info))} adds ended in doubt")
    return Expected(faults=scale.rounds, extra_runs=scale.rounds * load.slots)
