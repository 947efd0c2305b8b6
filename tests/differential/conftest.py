"""A server for both sides."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from tests.differential.lab import QUEUE, Lab
from tests.differential.oracle import BullMQ
from tests.redis_server import RedisServer


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    server = RedisServer(tmp_path, movable_clock=True)
    server.start()
    with (
        asyncio.Runner() as runner,
        Redis(port=server.port, db=0, decode_responses=True) as theirs,
        Redis(port=server.port, db=1, decode_responses=True) as ours,
    ):
        seconds, micros = theirs.time()
        now = seconds * 1000 + micros // 1000

        async def oracle() -> BullMQ:
            return BullMQ(server.url, QUEUE.name, lambda: made.now)

        made = Lab(server, runner, runner.run(oracle()), ours, theirs, now)
        made.bullmq.on_its_clock(monkeypatch)
        yield made
        runner.run(made.bullmq.close())
    server.stop()
