"""kill -9 at each step of the exchange: a follow-up is there exactly when its settlement is."""

from __future__ import annotations

from collections import Counter
from itertools import count, cycle, islice

from tests.faults.checker import Expected
from tests.faults.ledger import Reached
from tests.faults.programs.faultpoint import EXCHANGE, Hook
from tests.faults.programs.worker import FOLLOW_UPS
from tests.faults.scenario import Scale, scenario
from tests.faults.stage import Stage

SLOTS = 10
LEASE = 2.0


@scenario("killed-with-follow-ups", on=("file", "redis"))
async def killed_with_follow_ups(stage: Stage, scale: Scale) -> Expected:
    """One worker goes on, another is killed at each step in turn; some jobs complete, some fail."""
    dead: set[str] = set()
    await _add(stage, "backlog", scale.jobs // 2, dead)
    await stage.worker("steady", concurrency=SLOTS, lease=LEASE, follow_ups=True)
    rounds = max(scale.rounds, len(EXCHANGE))
    for turn, point in enumerate(islice(cycle(EXCHANGE), rounds)):
        hook = Hook(point=point, nth=stage.random.randint(1, 3))
        victim = await stage.worker(
            "victim", concurrency=SLOTS, lease=LEASE, hook=hook, follow_ups=True
        )
        for more in count():
            await _add(stage, f"lot{turn}-{more}", 4 * SLOTS, dead)
            await stage.until_drained_or(lambda: bool(stage.said(Reached, victim)))  # noqa: B023
            if stage.said(Reached, victim):
                break
        await stage.died(victim, f"kill -9 {point}")
    await stage.drained(timeout=120)
    await stage.stop_all()
    await _compare(stage)
    return Expected(faults=rounds, extra_runs=SLOTS * rounds, dead=frozenset(dead))


async def _add(stage: Stage, name: str, jobs: int, dead: set[str]) -> None:
    ids = [f"{name}-{n:04}" for n in range(jobs)]
    await stage.add(ids[::2], "nap", {"ms": 10})
    dead.update(await stage.add(ids[1::2], "fail", {"ms": 5}, attempts=2))


async def _compare(stage: Stage) -> None:
    """Hold follow-ups against the jobs that have ended: one each, and no other."""
    engine = (await stage.manager()).engine
    ended = {job.id: job for job in await stage.jobs()}
    found: Counter[str] = Counter()
    cursor = None
    while True:
        page = await engine.jobs.page(FOLLOW_UPS, limit=1000, cursor=cursor)
        for follow_up in page.jobs:
            found[follow_up.data["of"]] += 1
            errors = [error["attempt"] for error in follow_up.data["errors"]]
            whose = ended.get(follow_up.data["of"])
            known = [] if whose is None else [error.attempt for error in whose.errors]
            stage.claim(errors == known, f"{follow_up.data} has not the errors of its job")
        cursor = page.cursor
        if cursor is None:
            break
    without = sorted(ended.keys() - found.keys())
    stage.claim(not without, f"ended without their follow-up: {without[:5]}")
    twice = sorted(job for job, times in found.items() if times > 1)
    stage.claim(not twice, f"followed twice: {twice[:5]}")
    of_nothing = sorted(found.keys() - ended.keys())
    stage.claim(not of_nothing, f"follow-ups of jobs that are not there: {of_nothing[:5]}")
    stage.notes.append(f"{sum(found.values())} follow-ups of {len(ended)} jobs")
