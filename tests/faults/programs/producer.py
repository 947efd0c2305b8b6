"""A producer: `python -m tests.faults.programs.producer CONFIG`."""

from __future__ import annotations

import asyncio
import random
import signal
import sys
from collections.abc import Callable, Coroutine, Iterator, Sequence
from itertools import count

import msgspec

from tests.faults import ledger as book
from tests.faults.programs.engine import FaultyEngine
from tests.faults.programs.faultpoint import Faultpoint, Hook
from tests.faults.programs.tether import tie_to_stage
from tests.faults.programs.worker import QUEUE
from toril import (
    EngineError,
    QueueManager,
    StoreFullError,
    StoreReadOnlyError,
    StoreUnavailableError,
)
from toril.application.stores import open_engine

FULL = "full"


class ProducerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What a producer is told on its command line.

    Attributes:
        url: The store.
        name: What its jobs' ids begin with.
        bulk: How many jobs go in one `add_bulk`; 1 is single adds.
        lanes: How many coroutines add at the same time.
        limit: How many jobs each of them adds; None is no end.
        size: Bytes of each payload beyond its arguments.
        pause_ms: The longest random pause between two adds.
        until_full: Stop adding at the first `StoreFullError`.
        ms: What the jobs are to take.
        seed: For the pauses.
        hook: Where to end.
    """

    url: str
    name: str
    bulk: int = 1
    lanes: int = 1
    limit: int | None = None
    pause_ms: float = 0
    size: int = 0
    until_full: bool = False
    ms: int = 0
    seed: int = 0
    hook: Hook | None = None


class Producer:
    """Adds jobs, and writes down what it was told."""

    def __init__(self, config: ProducerConfig, ledger: book.Ledger, manager: QueueManager) -> None:
        self._config = config
        self._ledger = ledger
        self._manager = manager
        self._numbers = count()
        self._over = False
        self._random = random.Random(config.seed)

    async def run(self) -> None:
        lanes = [self._lane() for _ in range(self._config.lanes)]
        await asyncio.gather(*lanes)

    async def _lane(self) -> None:
        for _ in self._turns():
            if self._over:
                return
            await self._add(self._add_one if self._config.bulk == 1 else self._add_many)
            if self._config.pause_ms:
                await asyncio.sleep(self._random.uniform(0, self._config.pause_ms) / 1000)

    def _turns(self) -> Iterator[int]:
        limit = self._config.limit
        return count() if limit is None else iter(range(0, limit, self._config.bulk))

    async def _add(self, add: Callable[[Sequence[str]], Coroutine[None, None, None]]) -> None:
        config = self._config
        ids = [f"{config.name}-{next(self._numbers):05}" for _ in range(config.bulk)]
        self._ledger.write(book.Invoke(ids, whole=config.bulk > 1))
        try:
            await add(ids)
        except StoreFullError as error:
            self._ledger.write(book.Fail(ids, str(error)))
            self._note(FULL)
        except EngineError as error:
            kind = book.Fail if self._promises_nothing_stored(error) else book.Info
            self._ledger.write(kind(ids, f"{type(error).__name__}: {error}"))
            self._note(type(error).__name__)
        else:
            self._ledger.write(book.Ok(ids))

    def _promises_nothing_stored(self, error: EngineError) -> bool:
        """Whether an error says so; of an I/O error of a file nobody knows (docs/delivery.md)."""
        if isinstance(error, StoreUnavailableError):
            return self._config.url.startswith("redis:")
        return isinstance(error, StoreReadOnlyError)

    def stop(self) -> None:
        """Add no more."""
        self._over = True

    def _note(self, what: str) -> None:
        self._over = self._over or self._config.until_full
        self._ledger.write(book.Said("NOTE", what))

    async def _add_one(self, ids: Sequence[str]) -> None:
        await self._manager.add_job(QUEUE, "nap", {"ms": self._config.ms}, **self._options(ids[0]))

    async def _add_many(self, ids: Sequence[str]) -> None:
        await self._manager.add_bulk(
            QUEUE,
            [
                {"name": "nap", "data": {"ms": self._config.ms}, "options": self._options(i)}
                for i in ids
            ],
        )

    def _options(self, job: str) -> dict[str, object]:
        return {"job_id": job, "metadata": {"filling": "x" * self._config.size}}


async def main(config: ProducerConfig) -> None:
    ledger = book.Ledger.from_environment()
    engine = FaultyEngine(open_engine(config.url), ledger, Faultpoint(config.hook, ledger))
    async with QueueManager(engine=engine) as manager:
        ledger.write(book.Said("NOTE", book.READY))
        producer = Producer(config, ledger, manager)
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, producer.stop)
        await producer.run()


if __name__ == "__main__":
    tie_to_stage()
    asyncio.run(main(msgspec.json.decode(sys.argv[1], type=ProducerConfig)))
