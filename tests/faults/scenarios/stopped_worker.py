"""A worker that is stopped past its leases and continued: nothing that it settles counts."""

from __future__ import annotations

import signal
from itertools import cycle, islice

from tests.faults.actor import Actor, StuckError
from tests.faults.checker import Expected
from tests.faults.ledger import Heard, Lost, Reached, Settled
from tests.faults.programs.faultpoint import Hook, Point
from tests.faults.scenario import Scale, scenario
from tests.faults.stage import Stage

SLOTS = 5
LEASE = 1.0
POINTS: tuple[Point, ...] = ("before-settlement", "in-handler", "after-exchange")
TAKE_OVER = 8.0  # seconds: a worker may be stopped with the write lock in its hands
ATTEMPTS = 5


@scenario("stopped-worker", on=("file", "redis"))
async def stopped_worker(stage: Stage, scale: Scale) -> Expected:
    """SIGSTOP at three points; another worker takes over; then SIGCONT."""
    lost = 0
    for turn, point in enumerate(islice(cycle(POINTS), scale.rounds)):
        for attempt in range(ATTEMPTS):
            struck, gone = await _one_stop(stage, point, f"{turn}-{attempt}")
            lost += gone
            if struck:
                break
    refused = [s for s in stage.said(Settled) if not s.taken]
    stage.claim(bool(refused), "no settlement was refused")
    stage.notes.append(f"{lost} leases lost, {len(refused)} settlements refused")
    return Expected(faults=scale.rounds, extra_runs=lost)


async def _one_stop(stage: Stage, point: Point, turn: str) -> tuple[bool, int]:
    """Stop a worker that holds jobs; return whether that struck, and how many leases it lost."""
    hook = Hook(point=point, nth=SLOTS if point == "in-handler" else 1, stop=True)
    victim = await stage.worker("victim", concurrency=SLOTS, lease=LEASE, hook=hook)
    jobs = await stage.add([f"{point}-{turn}-{n}" for n in range(SLOTS)], data={"ms": 30})
    await stage.until(lambda: bool(stage.said(Reached, victim)), f"{victim.name} gets {point}")
    await stage.until(victim.is_stopped, f"{victim.name} stands still")
    other = await stage.worker("other", concurrency=SLOTS, lease=LEASE)
    done_elsewhere = await _took_over(stage, jobs)
    victim.send(signal.SIGCONT)
    if done_elsewhere:
        stage.struck(f"SIGSTOP {point}")
        await stage.until(lambda: _has_gone_on(stage, victim), f"{victim.name} goes on")
    await stage.drained()
    await stage.stop(victim)
    await stage.stop(other)
    lost = {(entry.id, entry.token) for entry in stage.said(Lost, victim)}
    heard = {(entry.id, entry.token) for entry in stage.said(Heard, victim)}
    stage.claim(not lost & heard, f"{victim.name} announced what it had lost")
    return done_elsewhere, len(lost)


async def _took_over(stage: Stage, jobs: list[str]) -> bool:
    """Whether the other worker did what the stopped one held."""
    try:
        await stage.drained(TAKE_OVER)
    except StuckError:
        stage.notes.append("a worker was stopped with the write lock: it does not count")
        return False
    return all(job.stalls for job in await stage.jobs(jobs) if job.attempts_started > 1)


def _has_gone_on(stage: Stage, victim: Actor) -> bool:
    """Whether it has seen its loss, or has settled without seeing it."""
    return bool(stage.said(Lost, victim) or stage.said(Settled, victim))
