"""Redis loses its data under load: FLUSHALL, or a return without its files."""

from __future__ import annotations

import asyncio
import shutil
from dataclasses import replace

from tests.faults.checker import Expected
from tests.faults.ledger import Invoke
from tests.faults.load import Load
from tests.faults.programs.worker import QUEUE
from tests.faults.scenario import Scale, scenario
from tests.faults.stage import Stage
from toril.model.job import DEFAULT_PREFIX

MOST_TIMES = 4


@scenario("emptied-redis", on=("redis",))
async def emptied_redis(stage: Stage, scale: Scale) -> Expected:
    """Nobody crashes, nothing comes back in pieces, and new jobs run at once."""
    load = await Load.start(stage)
    gone: set[str] = set()
    times = min(scale.rounds, MOST_TIMES)
    for turn in range(times):
        await load.is_felt(runs=stage.random.randint(1, 200))
        await (_come_back_empty(stage) if turn % 2 else stage.command("FLUSHALL"))
        stage.struck("Redis is empty")
        gone |= {job for add in stage.said(Invoke) for job in add.ids}
        await load.goes_on()
    await load.end()
    await _left_no_pieces(stage, gone)
    expected = Expected(faults=times, extra_runs=times * load.slots)
    return replace(expected, forgotten=frozenset(gone))


async def _left_no_pieces(stage: Stage, gone: set[str]) -> None:
    """See that nobody wrote to a job that was not there any more."""
    there = {job.id for job in await stage.jobs()}
    keys = [f"{DEFAULT_PREFIX}:{QUEUE}:{job}" for job in gone - there]
    pieces = await stage.command("EXISTS", *keys)
    stage.claim(not pieces, f"of {pieces} jobs that were gone there are pieces")


async def _come_back_empty(stage: Stage) -> None:
    stage.redis.kill()
    shutil.rmtree(stage.folder / "appendonlydir")
    await asyncio.to_thread(stage.redis.start)
