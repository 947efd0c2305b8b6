"""A producer in a process of its own: `python -m benchmarks.peers.toril.producer URL COUNT`.

Each job carries the monotonic time of its add, which all processes of a machine share.
"""

import asyncio
import sys
from time import monotonic

from benchmarks.peers.toril.session import QUEUE, session

PAUSE = 0.02


async def produce(url: str, count: int) -> None:
    """Add jobs one by one, with a pause before each."""
    async with session(url) as manager:
        for _ in range(count):
            await asyncio.sleep(PAUSE)
            await manager.add_job(QUEUE, "noop", {"at": monotonic()})


if __name__ == "__main__":
    asyncio.run(produce(sys.argv[1], int(sys.argv[2])))
