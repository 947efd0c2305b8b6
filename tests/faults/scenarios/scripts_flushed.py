"""SCRIPT FLUSH again and again: nobody notices."""

from __future__ import annotations

import asyncio

from tests.faults.checker import Expected
from tests.faults.ledger import Fail, Info
from tests.faults.load import Load
from tests.faults.scenario import Scale, scenario
from tests.faults.stage import Stage

LONGEST_REST = 0.03


@scenario("scripts-flushed", on=("redis",))
async def scripts_flushed(stage: Stage, scale: Scale) -> Expected:
    """No add fails, no job runs twice, and nobody complains."""
    load = await Load.start(stage)
    flushes = 0
    loop = asyncio.get_running_loop()
    end = loop.time() + scale.seconds
    while loop.time() < end:
        await stage.command("SCRIPT", "FLUSH")
        flushes += 1
        stage.struck("SCRIPT FLUSH")
        await asyncio.sleep(stage.random.uniform(0, LONGEST_REST))
    await load.goes_on()
    await load.end()
    for doubt in (*stage.said(Info), *stage.said(Fail)):
        stage.claim(False, f"an add failed: {doubt.why}")
    for text in stage.warnings():
        stage.claim(False, f"somebody complained: {text}")
    return Expected(faults=flushes)
