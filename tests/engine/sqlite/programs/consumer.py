"""Runs jobs until one tells it to stop; says which it ran, and which were refused."""

import asyncio
import json
import sys

from tests.conformance.support import QUEUE
from toril.engine.contract.hot_path import Fetch
from toril.engine.sqlite import SqliteEngine
from toril.model.settlement import Complete, Settlement


async def main(path: str, name: str, limit: int) -> None:
    engine = SqliteEngine(path)
    ran: list[str] = []
    refused: list[str] = []
    done: list[Settlement] = []
    stopping = False
    await engine.queues.register(QUEUE)
    print("ready", flush=True)
    while done or not stopping:
        fetch = None if stopping else Fetch(limit, name, 60_000)
        answer = await engine.exchange(QUEUE, done, fetch)
        refused += [
            settled.lease.id
            for settled, refusal in zip(done, answer.results, strict=True)
            if refusal is not None
        ]
        stopping = stopping or any(lease.name == "stop" for lease in answer.leases)
        ran += [lease.id for lease in answer.leases if lease.name != "stop"]
        done = [Complete(lease, f'"{name}"') for lease in answer.leases]
        if fetch is not None and not answer.leases:
            await engine.wait(QUEUE, answer.next_due, answer.token)
    await engine.close()
    print(json.dumps({"ran": ran, "refused": refused}), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
