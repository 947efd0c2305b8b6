"""Handlers that do not let the event loop run keep what their worker holds."""

from __future__ import annotations

from tests.faults.checker import Expected
from tests.faults.ledger import Ended, Started
from tests.faults.scenario import Scale, scenario
from tests.faults.stage import Stage

LEASE = 0.5
BLOCKED_MS = 1500


@scenario("blocked-loop", on=("file", "redis"), in_memory=True)
async def blocked_loop(stage: Stage, scale: Scale) -> Expected:
    """Three leases' time in time.sleep, with several jobs in hand, next to an idle worker."""
    for _ in range(2):
        await stage.worker(concurrency=3, lease=LEASE)
    await stage.add([f"block-{n}" for n in range(2 * scale.rounds)], "block", {"ms": BLOCKED_MS})
    await stage.drained()
    await stage.stop_all()
    return Expected(faults=_count_blocks(stage, BLOCKED_MS))


@scenario("blocked-while-fetching", on=("file", "redis"), in_memory=True)
async def blocked_while_fetching(stage: Stage, scale: Scale) -> Expected:
    """The loop blocks while jobs are on their way to it: their leases run already."""
    for _ in range(2):
        await stage.worker(concurrency=4, lease=LEASE)
    for turn in range(scale.rounds):
        ms = stage.random.randint(0, 20)
        await stage.add([f"nap-{turn}-{n:02}" for n in range(20)], data={"ms": ms})
        block = {"ms": BLOCKED_MS, "after_ms": stage.random.randint(0, 20)}
        await stage.add([f"block-{turn}"], "block", block)
        await stage.add([f"more-{turn}-{n:02}" for n in range(20)], data={"ms": ms})
    await stage.drained()
    await stage.stop_all()
    return Expected(faults=_count_blocks(stage, BLOCKED_MS))


def _count_blocks(stage: Stage, ms: int) -> int:
    """Write down each run that was as long as it should have been; return how many."""
    began = {run.token + run.id: run.at for run in stage.said(Started) if "block" in run.id}
    blocks = [
        run
        for run in stage.said(Ended)
        if "block" in run.id and run.at - began[run.token + run.id] >= ms / 1000
    ]
    for run in blocks:
        stage.struck(f"{run.id} blocked its worker's loop")
    return len(blocks)
