"""A network that loses replies and cuts connections, at random and under load."""

from __future__ import annotations

import asyncio

from tests.engine.redis.proxy import Proxy
from tests.faults.checker import Expected
from tests.faults.ledger import Info, Lost, Stalled
from tests.faults.load import AT_ONCE, Load
from tests.faults.scenario import Scale, scenario
from tests.faults.stage import Stage

LONGEST_REST = 0.4
LEASE = 15.0  # none is to run out
SILENT = 5.5  # seconds until a connection that went mute while it blocks is given up


@scenario("lost-replies", on=("redis",))
async def lost_replies(stage: Stage, scale: Scale) -> Expected:
    """Nothing is added twice, and no job waits for a lease that nobody knows of."""
    proxy = Proxy(stage.redis.port)
    await proxy.start()
    try:
        load = await Load.start(stage, lease=LEASE, url=proxy.url)
        strikes = 0
        loop = asyncio.get_running_loop()
        end = loop.time() + 2 * scale.seconds
        while loop.time() < end:
            await asyncio.sleep(stage.random.uniform(0, LONGEST_REST))
            mute = stage.random.random() < 0.5
            if proxy.mute_one(stage.random) if mute else proxy.cut_one(stage.random):
                strikes += 1
                stage.struck("a connection went mute" if mute else "a connection was cut")
        await load.goes_on(within=SILENT + AT_ONCE)
        await load.end()
    finally:
        await proxy.stop()
    lost = sum("before the reply came" in text for text in stage.warnings())
    stage.claim(lost > 0, "no worker lost a reply")
    stage.notes.append(f"workers lost {lost} replies; {len(stage.said(Info))} adds ended in doubt")
    for entry in (*stage.said(Lost), *stage.said(Stalled)):
        stage.claim(False, f"the lease of {entry.id} ran out")
    return Expected(faults=strikes)
