"""Redis answers, but refuses to write: demoted to a replica, or with a disk that fails."""

from __future__ import annotations

import asyncio

from tests.faults.actor import StuckError
from tests.faults.checker import Expected
from tests.faults.ledger import Fail, Info
from tests.faults.load import Load
from tests.faults.scenario import Scale, scenario
from tests.faults.stage import Stage

REFUSES = (0.5, 2.0)  # seconds


@scenario("refusing-redis", on=("redis",))
async def refusing_redis(stage: Stage, scale: Scale) -> Expected:
    """Adds say that nothing was stored, and workers wait and go on."""
    load = await Load.start(stage)
    for turn in range(scale.rounds):
        await load.is_felt(runs=stage.random.randint(1, 200))
        refused = len(stage.said(Fail))
        await (_demote(stage) if turn % 2 else _fail_to_save(stage))
        await asyncio.sleep(stage.random.uniform(*REFUSES))
        await stage.until(lambda n=refused: len(stage.said(Fail)) > n, "an add is refused")
        stage.struck(stage.said(Fail)[-1].why)
        await (_promote(stage) if turn % 2 else _save_again(stage))
        await load.goes_on()
    await load.end()
    for doubt in stage.said(Info):
        stage.claim(False, f"an add ended in doubt: {doubt.why}")
    return Expected(faults=scale.rounds, extra_runs=scale.rounds * load.slots)


async def _demote(stage: Stage) -> None:
    """Make it a replica of a server that is not there."""
    await stage.command("REPLICAOF", "127.0.0.1", 1)


async def _promote(stage: Stage) -> None:
    await stage.command("REPLICAOF", "NO", "ONE")


async def _fail_to_save(stage: Stage) -> None:
    """Put a folder where the snapshot is to go."""
    (stage.folder / "dump.rdb").unlink(missing_ok=True)
    (stage.folder / "dump.rdb").mkdir()
    await stage.command("CONFIG", "SET", "save", "3600 1000000")
    await _save(stage, "err")


async def _save_again(stage: Stage) -> None:
    (stage.folder / "dump.rdb").rmdir()
    await _save(stage, "ok")
    await stage.command("CONFIG", "SET", "save", "")


async def _save(stage: Stage, status: str) -> None:
    await stage.command("BGSAVE")

    async def has_ended() -> bool:
        told = str(await stage.command("INFO", "persistence"))
        return "rdb_bgsave_in_progress:0" in told and f"rdb_last_bgsave_status:{status}" in told

    try:
        await stage.until(has_ended, f"a snapshot ends as {status}", 10)
    except StuckError as error:
        raise StuckError(f"{error}; {await stage.command('INFO', 'persistence')}") from None
