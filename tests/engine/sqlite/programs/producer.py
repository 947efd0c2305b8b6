"""Adds jobs in batches; says how many were created."""

import asyncio
import sys

from tests.conformance.support import QUEUE, job
from toril.engine.contract.hot_path import AddStatus, Batch
from toril.engine.sqlite import SqliteEngine


async def main(path: str, jobs: int, per_batch: int) -> None:
    engine = SqliteEngine(path)
    created = 0
    for sequence, first in enumerate(range(0, jobs, per_batch), 1):
        new = [job(f"job-{n:06}") for n in range(first, min(first + per_batch, jobs))]
        batch = Batch("producer", sequence)
        for _ in range(2):  # as if the first answer had been lost
            added = await engine.add(QUEUE, new, batch)
            created += sum(one.status is AddStatus.CREATED for one in added)
    await engine.close()
    print(created, flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
