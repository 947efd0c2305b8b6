"""Jobs that kill what runs them end as failed, and the others go on."""

from __future__ import annotations

from tests.faults.checker import Expected
from tests.faults.scenario import Scale, scenario
from tests.faults.stage import Stage
from toril import Job

SLOTS = 4
LEASE = 0.5
MAX_STALLS = 2
NOTE = {"note": "the payload stays"}
_MOST_CRASHES = 20


@scenario("poisonous-job", on=("file", "redis"))
async def poisonous_job(stage: Stage, scale: Scale) -> Expected:
    """os._exit in a thread takes the worker along, SIGSEGV in a process only its process."""
    await stage.add(["naps-1"], data={"ms": 5})
    await stage.add(["poison"], "exit_in_thread", {**NOTE, "ms": 200})
    await stage.add([f"naps-2-{n:03}" for n in range(scale.jobs // 10)], data={"ms": 5})
    await stage.add(["segfault"], "segfault_in_process", NOTE, attempts=2)
    await stage.add([f"in-process-{n}" for n in range(4)], "nap_in_process", {"ms": 5})
    crashes = await _supervise(stage)
    poison, segfault = await stage.jobs(["poison", "segfault"])
    _died_of(stage, poison, "Stalled", attempts=1)
    _died_of(stage, segfault, "ProcessDied", attempts=2)
    stage.claim(crashes == MAX_STALLS + 1, f"it took {crashes} crashes, not {MAX_STALLS + 1}")
    # Who shares the worker with the poison may run again as often as that dies.
    return Expected(
        faults=crashes, extra_runs=crashes * SLOTS, dead=frozenset({"poison", "segfault"})
    )


@scenario("poison-among-innocents", on=("file", "redis"))
async def poison_among_innocents(stage: Stage, scale: Scale) -> Expected:
    """Jobs that were fetched together with one that kills at once do not die of its crashes."""
    await stage.add(["innocent-a"], data={"ms": 100})
    await stage.add(["poison"], "exit_in_thread", NOTE)
    await stage.add(["innocent-b", "innocent-c"], data={"ms": 100})
    await stage.add([f"later-{n:02}" for n in range(20)], data={"ms": 5})
    crashes = await _supervise(stage)
    stage.notes.append(f"{crashes} crashes")
    return Expected(faults=1, extra_runs=crashes * SLOTS, dead=frozenset({"poison"}))


async def _supervise(stage: Stage) -> int:
    """Start a worker again as often as it dies, until every job has ended."""
    crashes = 0
    while crashes < _MOST_CRASHES:
        worker = await stage.worker(concurrency=SLOTS, lease=LEASE, max_stalls=MAX_STALLS)
        await stage.until_drained_or(lambda actor=worker: actor.gone)
        if not worker.gone:
            break
        crashes += 1
        stage.struck(f"the worker died with exit code {worker.process.returncode}")
        stage.claim(worker.process.returncode == 3, f"it died of {stage.last_words(worker)}")
    await stage.drained()
    await stage.stop_all()
    return crashes


def _died_of(stage: Stage, job: Job, kind: str, *, attempts: int) -> None:
    found = (str(job.state), [e.type for e in job.errors][-1:], job.attempts_made)
    stage.claim(found == ("failed", [kind], attempts), f"{job.id} ended as {found}")
    stage.claim(job.data["note"] == NOTE["note"], f"{job.id} lost its payload: {job.data}")
