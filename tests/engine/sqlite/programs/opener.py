"""Opens each store that it is told of and adds a job to it."""

import asyncio
import sys

from tests.conformance.support import QUEUE, job
from toril.engine.sqlite import SqliteEngine


async def main(name: str) -> None:
    print("ready", flush=True)
    while path := (await asyncio.to_thread(sys.stdin.readline)).strip():
        engine = SqliteEngine(path)
        await engine.add(QUEUE, [job(name)])
        await engine.close()
        print("added", flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
