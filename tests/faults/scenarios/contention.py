"""Two workers, two producers and the command line on one store, each halting at random."""

from __future__ import annotations

import asyncio
import signal

from tests.faults.actor import Actor
from tests.faults.checker import Expected
from tests.faults.ledger import Info, Ok, Said, Started
from tests.faults.programs.looker import LOOKED, LookerConfig
from tests.faults.scenario import Scale, scenario
from tests.faults.stage import Stage

LEASE = 5.0
LONGEST_HALT = 0.15
LONGEST_REST = 0.1


@scenario("contention", on=("file", "redis"))
async def contention(stage: Stage, scale: Scale) -> Expected:
    """Every job runs exactly once, and nobody hears of a lock."""
    workers = [await stage.worker(concurrency=20, lease=LEASE) for _ in range(2)]
    producers = [
        await stage.producer(bulk=1, lanes=4, pause_ms=20),
        await stage.producer(bulk=25, lanes=1, pause_ms=100),
    ]
    config = LookerConfig(url=stage.url, seed=stage.random.randrange(1 << 30))
    looker = await stage.start("looker", config, "looker")
    actors = [*workers, *producers, looker]
    halts = await _halt_at_random(stage, actors, scale.seconds)
    for actor in (*producers, looker):
        await stage.stop(actor)
    await stage.drained()
    await stage.stop_all()
    looks = sum(said.text == LOOKED for said in stage.said(Said, looker))
    stage.notes.append(f"{halts} halts, {looks} looks")
    for actor in workers:
        stage.claim(bool(stage.said(Started, actor)), f"{actor.name} got no work")
    for actor in producers:
        stage.claim(bool(stage.said(Ok, actor)), f"{actor.name} added nothing")
    for info in stage.said(Info):
        stage.claim(False, f"an add ended in doubt: {info.why}")
    for text in stage.warnings():
        stage.claim(False, f"somebody complained: {text}")
    return Expected(faults=3)


async def _halt_at_random(stage: Stage, actors: list[Actor], seconds: float) -> int:
    """Stop one process after the other for a moment, perhaps with the lock in its hands."""
    halts = 0
    end = asyncio.get_running_loop().time() + seconds
    while asyncio.get_running_loop().time() < end:
        actor = stage.random.choice(actors)
        actor.send(signal.SIGSTOP)
        await asyncio.sleep(stage.random.uniform(0.01, LONGEST_HALT))
        if not actor.gone and actor.is_stopped():
            halts += 1
            stage.struck(f"{actor.name} halted")
        actor.send(signal.SIGCONT)
        await asyncio.sleep(stage.random.uniform(0, LONGEST_REST))
    return halts
