"""kill -9 of a worker: at random moments, and at each step of the exchange."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count, cycle, islice

from tests.faults.checker import Expected
from tests.faults.ledger import Reached, Stalled, Started
from tests.faults.programs.faultpoint import EXCHANGE, Hook
from tests.faults.scenario import Scale, scenario
from tests.faults.stage import Stage

SLOTS = 10
LEASE = 2.0
RANDOM = "random moment"


@scenario("killed-worker", on=("file", "redis"))
async def killed_worker(stage: Stage, scale: Scale) -> Expected:
    """Two workers on one file: one works on, the other is killed and replaced.

    Half of the jobs are there at the start, the rest come with each new victim, so that
    it dies in the middle of work however slow the machine is.
    """
    moments = [*EXCHANGE, *[RANDOM] * len(EXCHANGE)]
    stage.random.shuffle(moments)
    half, lot = scale.jobs // 2, scale.jobs // 2 // scale.rounds
    await _add(stage, "backlog", half)
    await stage.worker("steady", concurrency=SLOTS, lease=LEASE)
    for turn, moment in enumerate(islice(cycle(moments), scale.rounds)):
        await _one_kill(stage, moment, f"lot{turn}", lot)
    await stage.drained(timeout=120)
    await stage.stop_all()
    stage.notes.append(
        f"{len(stage.said(Stalled))} leases ran out; {SLOTS * scale.rounds} extra runs may be"
    )
    return Expected(faults=scale.rounds, extra_runs=SLOTS * scale.rounds)


async def _add(stage: Stage, name: str, jobs: int) -> None:
    """Add jobs of different lengths, a few of them for threads and processes."""
    others = jobs // 20
    for kind, ms, n in (
        ("nap", 10, jobs // 2),
        ("nap_in_process", 20, others),
        ("nap_in_thread", 30, others),
        ("nap", 40, jobs - jobs // 2 - 2 * others),
    ):
        await stage.add([f"{name}-{kind}-{ms}-{i:04}" for i in range(n)], kind, {"ms": ms})


async def _one_kill(stage: Stage, moment: str, lot: str, jobs: int) -> None:
    runs = stage.random.randint(1, 2 * SLOTS)
    hook = None
    if moment != RANDOM:
        hook = Hook(point=moment, nth=runs if moment == "in-handler" else min(runs, 3))
    victim = await stage.worker("victim", concurrency=SLOTS, lease=LEASE, hook=hook)
    await _add(stage, lot, jobs)
    if hook is None:
        await _with_work(stage, lot, lambda: len(stage.said(Started, victim)) >= runs)
        await stage.kill(victim, f"kill -9 at a {moment}")
    else:
        await _with_work(stage, lot, lambda: bool(stage.said(Reached, victim)))
        await stage.died(victim, f"kill -9 {moment}")


async def _with_work(stage: Stage, lot: str, condition: Callable[[], bool]) -> None:
    """Wait until something is so, and see to it that there is work until then."""
    for more in count():
        await stage.until_drained_or(condition)
        if condition():
            return
        await _add(stage, f"{lot}-{more}", 4 * SLOTS)
