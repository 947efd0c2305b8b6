"""Somebody holds the write lock for longer than leases last: a backup, a stopped process."""

from __future__ import annotations

import asyncio
from contextlib import closing

import apsw

from tests.faults.checker import Expected
from tests.faults.ledger import Info, Started
from tests.faults.scenario import Scale, scenario
from tests.faults.stage import Stage

SLOTS = 5
LEASE = 1.0
HELD = 3.0  # seconds; three leases, and less than Toril waits for a lock


@scenario("held-lock")
async def held_lock(stage: Stage, scale: Scale) -> Expected:
    """Adds wait and are stored once; leases may run out, and nothing is settled without one."""
    for _ in range(2):
        await stage.worker(concurrency=SLOTS, lease=LEASE)
    producer = await stage.producer(bulk=1, lanes=4, pause_ms=20, ms=50)
    for _ in range(scale.rounds):
        runs = len(stage.said(Started))
        await stage.until(lambda n=runs: len(stage.said(Started)) > n + SLOTS, "work is done")
        await asyncio.to_thread(_hold, str(stage.store), HELD)
        stage.struck(f"the lock was held for {HELD:g} s")
    await stage.stop(producer)
    await stage.drained()
    await stage.stop_all()
    for info in stage.said(Info):
        stage.claim(False, f"an add ended in doubt: {info.why}")
    return Expected(faults=scale.rounds, extra_runs=scale.rounds * 2 * SLOTS)


def _hold(path: str, seconds: float) -> None:
    """Take the lock in a thread of this process, as another program would."""
    with closing(apsw.Connection(path)) as connection:
        connection.set_busy_timeout(10_000)
        connection.execute("BEGIN IMMEDIATE")
        asyncio.run(asyncio.sleep(seconds))
        connection.execute("ROLLBACK")
