"""Opens a store as a user without rights; says what came of it."""

import asyncio
import concurrent.futures.thread  # noqa: F401 - who gives up root cannot read it later
import os
import sys

from toril.engine.sqlite import SqliteEngine
from toril.errors import TorilError
from toril.model.job import QueueRef

NOBODY = 65_534


async def main(path: str) -> None:
    engine = SqliteEngine(path)
    try:
        async with asyncio.timeout(10):
            await engine.queues.register(QueueRef("bull", "work"))
    except TorilError as error:
        print(type(error).__name__, error, flush=True)
    except TimeoutError:
        print("hangs", flush=True)
        os._exit(1)
    else:
        print("works", flush=True)
    await engine.close()


if __name__ == "__main__":
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    asyncio.run(main(sys.argv[1]))
