"""Redis stands still for longer than a call waits, then does what it was told meanwhile."""

from __future__ import annotations

import asyncio
import signal

from tests.faults.checker import Expected
from tests.faults.ledger import Info
from tests.faults.load import Load
from tests.faults.scenario import Scale, scenario
from tests.faults.stage import Stage

STANDS = (2.3, 4.5)  # seconds; a call waits for 2
MOST_TIMES = 5


@scenario("paused-redis", on=("redis",))
async def paused_redis(stage: Stage, scale: Scale) -> Expected:
    """What was sent twice because no answer came is there once."""
    load = await Load.start(stage)
    times = min(scale.rounds, MOST_TIMES)
    for _ in range(times):
        await load.is_felt(runs=stage.random.randint(1, 200))
        stage.redis.send(signal.SIGSTOP)
        stage.struck("SIGSTOP of Redis")
        await asyncio.sleep(stage.random.uniform(*STANDS))
        stage.redis.send(signal.SIGCONT)
        await load.goes_on()
    await load.end()
    stage.claim(bool(stage.said(Info)), "no add ended in doubt")
    stage.notes.append(f"{len(stage.said(Info))} adds ended in doubt")
    return Expected(faults=times, extra_runs=times * load.slots)
