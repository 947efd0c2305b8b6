"""Waits for work, or for events, and says what came, until it is told to end."""

import asyncio
import sys

from tests.conformance.support import QUEUE, news_of, tail_of
from toril.engine.contract.hot_path import Fetch
from toril.engine.sqlite import SqliteEngine


async def work(engine: SqliteEngine) -> str:
    answer = await engine.exchange(QUEUE, [], Fetch(1, "waiter", 60_000))
    print("waiting", flush=True)
    while not answer.leases:
        await engine.wait(QUEUE, None, answer.token)
        answer = await engine.exchange(QUEUE, [], Fetch(1, "waiter", 60_000))
    return answer.leases[0].id


async def event(engine: SqliteEngine) -> str:
    cursor = await tail_of(engine, QUEUE)
    await engine.events.read({QUEUE: cursor}, timeout=0)
    print("waiting", flush=True)
    events, cursor = await news_of(engine, QUEUE, cursor)
    while not events:
        await engine.events.read({QUEUE: cursor}, timeout=600)
        events, cursor = await news_of(engine, QUEUE, cursor)
    return f"{events[0].kind} {events[0].job_id}"


async def main(path: str, what: str) -> None:
    engine = SqliteEngine(path)
    await engine.queues.register(QUEUE)
    print(await (work(engine) if what == "work" else event(engine)), flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    await engine.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))
