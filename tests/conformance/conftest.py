"""The engines under test. A further one is a further entry in STORES."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from tests.conformance.support import OTHER_QUEUE, QUEUE, ManualClock, Pen, Store
from tests.redis_server import RedisServer
from toril.engine.base import Engine
from toril.engine.redis import RedisEngine
from toril.engine.redis.endpoint import parse
from toril.engine.redis.wire import Wire
from toril.engine.sqlite import SqliteEngine


class SqliteStore:
    """A SQLite store whose time is moved by hand."""

    def __init__(self, path: Path | None) -> None:
        self._path = None if path is None else str(path)
        self._clock = ManualClock()
        self._engines: list[SqliteEngine] = []

    def engine(self) -> Engine:
        engine = SqliteEngine(self._path, clock=self._clock)
        self._engines.append(engine)
        return engine

    async def advance(self, ms: int) -> None:
        self._clock.advance(ms)

    def pass_time(self, ms: int) -> None:
        self._clock.advance(ms)

    async def now(self) -> int:
        return self._clock.wall_ms()

    async def close(self) -> None:
        for engine in self._engines:
            await engine.close()


class RedisStore:
    """A Redis store whose server's time is moved by hand."""

    def __init__(self, server: RedisServer) -> None:
        self._server = server
        self._engines: list[RedisEngine] = []

    def engine(self) -> Engine:
        engine = RedisEngine(parse(self._server.url))
        self._engines.append(engine)
        return engine

    async def advance(self, ms: int) -> None:
        self.pass_time(ms)

    def pass_time(self, ms: int) -> None:
        self._server.pass_time(ms + 1)  # to Redis a key has run out once its time is over

    async def now(self) -> int:
        wire = await Wire.open(parse(self._server.url))
        seconds, micros = await wire.call("TIME")
        await wire.close()
        return int(seconds) * 1000 + int(micros) // 1000

    async def close(self) -> None:
        for engine in self._engines:
            await engine.close()
        wire = await Wire.open(parse(self._server.url))
        await wire.call("FLUSHALL")
        await wire.close()


OPTIONS = ["--appendonly", "yes", "--appendfsync", "no"]

STORES = {
    "sqlite-file": lambda folder, _: SqliteStore(folder / "jobs.db"),
    "sqlite-memory": lambda _, __: SqliteStore(None),
    "redis": lambda _, server: RedisStore(server()),
}


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], RedisServer]]:
    """Start the server when the first test wants it."""
    started: list[RedisServer] = []

    def server() -> RedisServer:
        if not started:
            made = RedisServer(
                tmp_path_factory.mktemp("redis"), options=OPTIONS, movable_clock=True
            )
            started.append(made)
            made.start()
        return started[0]

    yield server
    for made in started:
        made.stop()


@pytest.fixture(params=STORES)
async def store(
    request: pytest.FixtureRequest, tmp_path: Path, redis_server: Callable[[], RedisServer]
) -> AsyncIterator[Store]:
    """A new, empty store."""
    made = STORES[request.param](tmp_path, redis_server)
    yield made
    await made.close()


@pytest.fixture
async def engine(store: Store) -> Engine:
    """An engine on the store."""
    return store.engine()


@pytest.fixture
async def pen(engine: Engine, store: Store) -> Pen:
    """The queue that the test is about, registered."""
    await engine.register(QUEUE)
    return Pen(engine, QUEUE, store)


@pytest.fixture
async def other_pen(engine: Engine, store: Store) -> Pen:
    """A second queue in the same store."""
    await engine.register(OTHER_QUEUE)
    return Pen(engine, OTHER_QUEUE, store)
