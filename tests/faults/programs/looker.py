"""What the command line does, again and again: open, look, close.

`python -m tests.faults.programs.looker CONFIG` ends at SIGTERM.
"""

from __future__ import annotations

import asyncio
import random
import signal
import sys

import msgspec

from tests.faults import ledger as book
from tests.faults.programs.tether import tie_to_stage
from tests.faults.programs.worker import QUEUE
from toril import EngineError, QueueManager

LOOKED = "looked"


class LookerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What it is told on its command line."""

    url: str
    seed: int = 0
    pause_ms: float = 50


async def look(url: str, chance: random.Random) -> None:
    """Do what one of the verbs does, on a connection of its own."""
    async with QueueManager(url) as manager:
        queue = manager.queue(QUEUE)
        match chance.randrange(4):
            case 0:
                await manager.get_all_metrics()
            case 1:
                await queue.jobs(limit=100)
            case 2:
                await queue.pause()
                await queue.counts()
                await queue.resume()
            case _:
                await manager.examine()


async def main(config: LookerConfig) -> None:
    ledger = book.Ledger.from_environment()
    chance = random.Random(config.seed)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    ledger.write(book.Said("NOTE", book.READY))
    while not stop.is_set():
        try:
            await look(config.url, chance)
        except EngineError as error:
            ledger.write(book.Said("ERROR", f"{type(error).__name__}: {error}"))
        else:
            ledger.write(book.Said("NOTE", LOOKED))
        await asyncio.sleep(chance.uniform(0, config.pause_ms) / 1000)


if __name__ == "__main__":
    tie_to_stage()
    asyncio.run(main(msgspec.json.decode(sys.argv[1], type=LookerConfig)))
