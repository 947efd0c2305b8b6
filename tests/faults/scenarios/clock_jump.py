"""The store's clock jumps by an hour, forwards and back, while jobs run.

What becomes of leases: at a jump forwards all of them end at once. Their jobs run again,
and what their first runs bring is refused. At a jump back a worker that lives renews its
leases by the new time and goes on. The leases of one that dies at that moment are cut off:
their jobs run again within a lease by the new time.
"""

from __future__ import annotations

from itertools import cycle, islice

from tests.faults.actor import Actor
from tests.faults.checker import Expected
from tests.faults.ledger import Lost, Started
from tests.faults.programs.engine import JumpingClock
from tests.faults.scenario import Scale, scenario
from tests.faults.stage import Stage

SLOTS = 5
LEASE = 1.0
HOUR_MS = 3_600_000
LOT = 60
PATH = (HOUR_MS, 0, -HOUR_MS, 0)  # where the clock stands, one after the other


@scenario("clock-jump")
async def clock_jump(stage: Stage, scale: Scale) -> Expected:
    """Nothing is lost, and nothing settles without its lease."""
    clock = str(stage.folder / "clock")
    JumpingClock.jump(clock, 0)
    stage.clock = JumpingClock(clock)
    workers = [await _worker(stage, clock) for _ in range(2)]
    stood, forwards = 0, 0
    for turn, stands in enumerate(islice(cycle(PATH), max(scale.rounds, len(PATH)))):
        await _lot_begins(stage, f"lot{turn}")
        JumpingClock.jump(clock, stands)
        stage.struck(f"the clock jumped by {(stands - stood) // 1000} s")
        forwards += stands > stood
        stood = stands
        await stage.drained()
    extra = len({(entry.id, entry.token) for entry in stage.said(Lost)})
    stage.notes.append(f"{extra} leases ended at {forwards} jumps forwards")
    await _dies_at_a_jump_back(stage, clock, workers[0])
    await stage.drained()
    await stage.stop_all()
    return Expected(faults=len(PATH), extra_runs=(forwards + 1) * 2 * SLOTS + SLOTS)


async def _worker(stage: Stage, clock: str) -> Actor:
    return await stage.worker(concurrency=SLOTS, lease=LEASE, clock=clock)


async def _lot_begins(stage: Stage, name: str) -> None:
    runs = len(stage.said(Started))
    await stage.add([f"{name}-{n:02}" for n in range(LOT)], data={"ms": 150})
    await stage.until(lambda: len(stage.said(Started)) >= runs + 2 * SLOTS, f"{name} has begun")


async def _dies_at_a_jump_back(stage: Stage, clock: str, victim: Actor) -> None:
    """Let the jobs of a dead worker run again although its leases were of a later time."""
    await _lot_begins(stage, "last")
    await stage.kill(victim)
    JumpingClock.jump(clock, -HOUR_MS)
    stage.struck("kill -9 at a jump back")
    await stage.drained()
