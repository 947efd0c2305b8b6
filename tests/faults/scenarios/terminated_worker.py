"""SIGTERM: no new jobs, time to finish, then jobs are given back as if they had not begun."""

from __future__ import annotations

import signal
import time
from collections.abc import Sequence
from dataclasses import replace

from tests.faults.actor import Actor
from tests.faults.checker import Expected
from tests.faults.ledger import Started
from tests.faults.scenario import Scale, scenario
from tests.faults.stage import Stage

KINDS = ("hold", "hold_in_thread", "hold_in_process")
EACH = 3
PROCESSES = 2  # of the worker
SHORT = 5
GRACE = 1.5
AT_ONCE = 5.0
DEAF_MS = 12_000


@scenario("terminated-worker", on=("file", "redis"))
async def terminated_worker(stage: Stage, scale: Scale) -> Expected:
    """One SIGTERM: what is short finishes, what is long goes back, what waits stays."""
    worker = await stage.worker(concurrency=EACH * len(KINDS) + SHORT, grace=GRACE)
    long = await _add_long(stage, "long")
    await _have_begun(stage, long)
    short = await stage.add([f"short-{n}" for n in range(SHORT)], data={"ms": 300})
    await _have_begun(stage, short, SHORT)
    waiting = await stage.add([f"waiting-{n}" for n in range(20)])
    await _terminate(stage, worker)
    await _were_given_back(stage, long)
    for job in await stage.jobs(short):
        stage.claim(job.state == "completed", f"{job.id} was short, and is {job.state}")
    for job in await stage.jobs(waiting):
        stage.claim(job.attempts_started == 0, f"{job.id} was taken after SIGTERM")
    return await _finish(stage)


@scenario("forced-worker", on=("file", "redis"))
async def forced_worker(stage: Stage, scale: Scale) -> Expected:
    """A second SIGTERM ends the grace at once, whatever the handlers do."""
    worker = await stage.worker(concurrency=EACH * len(KINDS), grace=600)
    await _force(stage, worker, await _add_long(stage, "long"), PROCESSES)
    worker = await stage.worker("deaf", concurrency=2, grace=600, cancel_grace=0.2)
    deaf = await stage.add(["deaf-1", "deaf-2"], "deaf_in_thread", {"ms": DEAF_MS})
    await _force(stage, worker, deaf, len(deaf))
    return await _finish(stage)


@scenario("terminated-in-work", on=("file", "redis"))
async def terminated_in_work(stage: Stage, scale: Scale) -> Expected:
    """SIGTERM at random moments of a busy worker, with hardly any grace, again and again."""
    kinds = ("nap", "nap_in_thread", "nap_in_process")
    for n in range(scale.jobs // 4):
        kind = stage.random.choices(kinds, (8, 3, 1))[0]
        await stage.add([f"{kind}-{n:04}"], kind, {"ms": stage.random.randint(0, 60)})
    for _ in range(scale.rounds):
        grace = stage.random.choice((0, 0.02, 0.1))
        worker = await stage.worker(concurrency=10, grace=grace)
        runs = stage.random.randint(0, scale.jobs // 4 // scale.rounds)
        await stage.until_drained_or(lambda w=worker, n=runs: len(stage.said(Started, w)) >= n)
        await _terminate(stage, worker)
    expected = await _finish(stage)
    for job in await stage.jobs():
        stage.claim(job.stalls == 0, f"{job.id} was left to its lease {job.stalls} times")
    return replace(expected, faults=scale.rounds)


async def _force(stage: Stage, worker: Actor, jobs: list[str], begun: int) -> None:
    begun = len(jobs) if begun == len(jobs) else len(jobs) - EACH + begun
    await _have_begun(stage, jobs, begun)
    worker.send(signal.SIGTERM)
    await stage.until(lambda: stage.has_noted(worker, "stopping:"), "it says that it stops")
    stage.claim(not worker.gone, f"{worker.name} did not wait for its jobs")
    asked = time.monotonic()
    await _terminate(stage, worker)
    took = time.monotonic() - asked
    stage.notes.append(f"{worker.name} was gone {took:.1f} s after the second SIGTERM")
    stage.claim(took < AT_ONCE, f"{worker.name} took {took:.1f} s to end by force")
    await _were_given_back(stage, jobs)


async def _add_long(stage: Stage, name: str) -> list[str]:
    added: list[str] = []
    for kind in KINDS:
        added += await stage.add([f"{name}-{kind}-{n}" for n in range(EACH)], kind)
    return added


async def _have_begun(stage: Stage, jobs: Sequence[str], n: int | None = None) -> None:
    """Of the process handlers only as many as there are processes."""
    wanted = len(jobs) - EACH + PROCESSES if n is None else n
    ids = set(jobs)
    await stage.until(
        lambda: len({run.id for run in stage.said(Started)} & ids) >= wanted,
        f"{wanted} of {len(jobs)} jobs have begun",
    )


async def _terminate(stage: Stage, worker: Actor) -> None:
    await stage.stop(worker)
    stage.struck("SIGTERM")


async def _were_given_back(stage: Stage, jobs: Sequence[str]) -> None:
    for job in await stage.jobs(jobs):
        found = (str(job.state), job.attempts_made, job.stalls, len(job.errors))
        stage.claim(
            found == ("waiting", 0, 0, 0),
            f"{job.id} was not given back: {found} is (state, attempts made, stalls, errors)",
        )


async def _finish(stage: Stage) -> Expected:
    """Let another worker do what was given back."""
    await stage.worker(concurrency=20)
    await stage.drained()
    await stage.stop_all()
    for job in await stage.jobs():
        stage.claim(job.attempts_made == 1, f"{job.id} used up {job.attempts_made} attempts")
    return Expected()
