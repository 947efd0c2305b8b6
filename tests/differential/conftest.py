"""A server for both sides."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from tests.differential.lab import PARENTS, QUEUE, Lab
from tests.differential.oracle import BullMQ, let_time_be
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

        async def bullmq(name: str, database: int) -> BullMQ:
            url = f"redis://127.0.0.1:{server.port}/{database}"
            return BullMQ(url, name, lambda: made.now)

        made = Lab(
            server,
            runner,
            runner.run(bullmq(QUEUE.name, 0)),
            runner.run(bullmq(PARENTS.name, 0)),
            runner.run(bullmq(QUEUE.name, 1)),
            ours,
            theirs,
            seconds * 1000 + micros // 1000,
        )
        let_time_be(monkeypatch, lambda: made.now)
        yield made
        for one in (made.bullmq, made.their_parents, made.guest):
            runner.run(one.close())
    server.stop()
