"""A Toril worker in a process of its own, to be killed.

python -m tests.interop.toril_worker URL QUEUE LEASE: it ends when its stdin does.
"""

import asyncio
import sys

from tests.faults.programs.tether import tie_to_stage
from tests.interop.handlers import Gate
from toril import QueueManager, Settings, WorkerSettings


async def main(url, queue, lease):
    manager = QueueManager(url, settings=Settings())
    manager.register_processor(queue, Gate().process)
    settings = WorkerSettings(concurrency=10, lease=lease, report_every=0)
    await manager.run_workers(settings=settings)
    await manager.shutdown()


if __name__ == "__main__":
    tie_to_stage()
    asyncio.run(main(sys.argv[1], sys.argv[2], float(sys.argv[3])))
