"""No memory: adds are refused as a whole, what is there runs to its end."""

from __future__ import annotations

from tests.faults.checker import Expected
from tests.faults.ledger import Fail, Info, Started
from tests.faults.scenario import Scale, scenario
from tests.faults.stage import Stage

SLOTS = 5
SIZE = 2000
ROOM = 300_000  # bytes beyond what is used
WAYS = ({"bulk": 1, "lanes": 4}, {"bulk": 20, "lanes": 1})
TURNS = 2


@scenario("full-redis", on=("redis",))
async def full_redis(stage: Stage, scale: Scale) -> Expected:
    """Redis fills up while a worker runs, is given more room, and fills up again."""
    worker = await stage.worker(concurrency=SLOTS)
    for turn in range(TURNS):
        runs = len(stage.said(Started))
        await stage.add([f"long-{turn}-{n}" for n in range(SLOTS)], data={"ms": 1000})
        await stage.until(lambda n=runs: len(stage.said(Started)) >= n + SLOTS, "they run")
        await _fill(stage, turn)
        await stage.drained()  # while there is no room
        await stage.command("CONFIG", "SET", "maxmemory", 0)
    await stage.add(["after-1", "after-2"])
    await stage.drained()
    await stage.stop(worker)
    for text in stage.warnings(worker):
        stage.claim(False, f"the worker complained: {text}")
    return Expected(faults=TURNS * len(WAYS))


async def _fill(stage: Stage, turn: int) -> None:
    """Add jobs in both ways until each producer has heard that there is no room."""
    info = str(await stage.command("INFO", "memory"))
    used = next(int(row.split(":")[1]) for row in info.splitlines() if "used_memory:" in row)
    await stage.command("CONFIG", "SET", "maxmemory", used + ROOM)
    for n, way in enumerate(WAYS):
        producer = await stage.producer(name=f"fill{turn}-{n}", until_full=True, size=SIZE, **way)
        code = await producer.end()
        stage.claim(code == 0, f"{producer.name} ended with {code}: {stage.last_words(producer)}")
        refused = stage.said(Fail, producer)
        stage.claim(bool(refused), f"{producer.name} never heard that there is no room")
        if refused:
            stage.struck(f"{producer.name}: {refused[0].why}")
        for doubt in stage.said(Info, producer):
            stage.claim(False, f"{producer.name} was not told why: {doubt.why}")
