"""A worker that sleeps wakes for what a schedule makes."""

import asyncio

from toril.model.job import QueueRef
from toril.model.schedule import Schedule


async def test_a_worker_runs_the_jobs_of_a_schedule_as_they_become_due(manager):
    ran, five = [], asyncio.Event()

    async def process(job):
        ran.append(job.id)
        if len(ran) == 5:
            five.set()

    manager.register_processor("reports", process)
    await manager.start_workers()
    queue = QueueRef("bull", "reports")
    first = await manager.engine.schedules.upsert(queue, Schedule.of("s", every_ms=100))

    await five.wait()

    dues = [int(one.rpartition(":")[2]) for one in ran]
    assert dues == sorted(set(dues))
    assert {(due - first) % 100 for due in dues} == {0}
