"""Where the two sides live: one server, a database for each."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from redis import Redis

from tests.differential.oracle import BullMQ
from tests.redis_server import RedisServer
from toril.engine.redis import RedisEngine
from toril.engine.redis.connection.endpoint import parse
from toril.model.job import QueueRef

QUEUE = QueueRef("bull", "work")
PARENTS = QueueRef("bull", "parents")
"""Where some parents are whose children are in the queue."""


def prefix_of(queue: QueueRef) -> str:
    return f"{queue.prefix}:{queue.name}:"


PREFIX = prefix_of(QUEUE)


@dataclass(repr=False)
class Lab:
    """A server with a database for each side.

    Attributes:
        bullmq: BullMQ on its side.
        their_parents: The same for the parents' queue.
        guest: BullMQ on our side, for what Node.js alone adds.
        ours: Our database.
        theirs: BullMQ's.
        now: The server's time.
    """

    server: RedisServer
    runner: asyncio.Runner
    bullmq: BullMQ
    their_parents: BullMQ
    guest: BullMQ
    ours: Redis
    theirs: Redis
    now: int

    def engine(self) -> RedisEngine:
        """Return a new engine on our side."""
        return RedisEngine(parse(f"redis://127.0.0.1:{self.server.port}/1"))

    def pass_time(self, ms: int) -> None:
        self.server.pass_time(ms)
        self.now += ms
