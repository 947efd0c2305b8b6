"""kill -9 of a producer: what it was told is stored is there, and batches are not torn."""

from __future__ import annotations

from tests.faults.checker import Expected
from tests.faults.ledger import Ok, Reached
from tests.faults.programs.faultpoint import Hook, Point
from tests.faults.scenario import Scale, scenario
from tests.faults.stage import Stage

BULK = 40
WAYS = ({"bulk": 1, "lanes": 8}, {"bulk": BULK, "lanes": 2})
POINTS: tuple[Point, ...] = ("before-add", "after-add")


@scenario("killed-producer", on=("file", "redis"))
async def killed_producer(stage: Stage, scale: Scale) -> Expected:
    """One after the other, while a worker takes what they add."""
    await stage.worker(concurrency=20)
    at_random = (scale.rounds + 1) // 2
    for way in WAYS:
        for point in POINTS:
            hook = Hook(point=point, nth=stage.random.randint(2, 10))
            producer = await stage.producer(hook=hook, pause_ms=5, **way)
            name = producer.name
            await stage.until(lambda p=producer: bool(stage.said(Reached, p)), f"{name} at {point}")
            await stage.died(producer, f"kill -9 of a producer {point}")
        for _ in range(at_random):
            adds = stage.random.randint(5, max(6, scale.jobs // 20))
            producer = await stage.producer(**way)
            await stage.until(
                lambda p=producer, n=adds: len(stage.said(Ok, p)) >= n, f"{adds} adds"
            )
            await stage.kill(producer, "kill -9 of a producer at a random moment")
    await stage.drained(timeout=120)
    await stage.stop_all()
    return Expected(faults=len(WAYS) * (at_random + len(POINTS)))
