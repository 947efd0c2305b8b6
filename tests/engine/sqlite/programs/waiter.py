"""Waits for work, or for events, and says what came, until it is told to end."""

import asyncio
import sys

from tests.conformance.support import QUEUE
from toril.engine.base import Fetch
from toril.engine.sqlite import SqliteEngine


async def work(engine: SqliteEngine) -> str:
    answer = await engine.exchange(QUEUE, [], Fetch(1, "waiter", 60_000))
    print("waiting", flush=True)
    while not answer.leases:
        await engine.wait(QUEUE, None, answer.signal)
        answer = await engine.exchange(QUEUE, [], Fetch(1, "waiter", 60_000))
    return answer.leases[0].id


async def event(engine: SqliteEngine) -> str:
    _, cursor = await engine.events(QUEUE, None)
    await engine.wait_event(QUEUE, cursor, 0)
    print("waiting", flush=True)
    events, cursor = await engine.events(QUEUE, cursor)
    while not events:
        await engine.wait_event(QUEUE, cursor, 600)
        events, cursor = await engine.events(QUEUE, cursor)
    return f"{events[0].kind} {events[0].job_id}"


async def main(path: str, what: str) -> None:
    engine = SqliteEngine(path)
    await engine.register(QUEUE)
    print(await (work(engine) if what == "work" else event(engine)), flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    await engine.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))
