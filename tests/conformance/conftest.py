"""The engines under test. A further one is a further entry in STORES."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

import pytest

from tests.conformance.support import OTHER_QUEUE, QUEUE, ManualClock, Pen, Store
from tests.redis_groups import Cluster, WatchedServers
from tests.redis_server import RedisServer
from toril.application.stores import open_engine
from toril.engine.contract.engine import Engine
from toril.engine.redis.connection.endpoint import parse
from toril.engine.redis.connection.wire import Wire
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
    """A store on Redis servers whose time is moved by hand."""

    def __init__(self, servers: Servers) -> None:
        self._servers = servers
        self._engines: list[Engine] = []

    def engine(self) -> Engine:
        engine = open_engine(self._servers.url)
        self._engines.append(engine)
        return engine

    async def advance(self, ms: int) -> None:
        self.pass_time(ms)

    def pass_time(self, ms: int) -> None:
        self._servers.pass_time(ms + 1)  # to Redis a key has run out once its time is over

    async def now(self) -> int:
        wire = await Wire.open(parse(self._servers.masters[0].url))
        seconds, micros = await wire.call("TIME")
        await wire.close()
        return int(seconds) * 1000 + int(micros) // 1000

    async def close(self) -> None:
        for engine in self._engines:
            await engine.close()
        for master in self._servers.masters:
            master.flush()


class Servers(Protocol):
    """Redis servers whose time is moved by hand.

    Attributes:
        url: Where a client finds them.
        masters: Those that hold queues.
    """

    url: str
    masters: Sequence[RedisServer]

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def pass_time(self, ms: int) -> None: ...


OPTIONS = ["--appendonly", "yes", "--appendfsync", "no"]

SERVERS: dict[str, Callable[..., Servers]] = {
    "redis": RedisServer,
    "redis-sentinel": WatchedServers,
    "redis-cluster": Cluster,
}


class Started(dict[str, Servers]):
    """Servers by kind, each started when the first test wants it."""

    def __init__(self, folder: Callable[[str], Path]) -> None:
        super().__init__()
        self._folder = folder

    def __missing__(self, kind: str) -> Servers:
        made = SERVERS[kind](self._folder(kind), options=OPTIONS, movable_clock=True)
        self[kind] = made
        made.start()
        return made


STORES: dict[str, Callable[[Path, Started], Store]] = {
    "sqlite-file": lambda folder, _: SqliteStore(folder / "jobs.db"),
    "sqlite-memory": lambda _, __: SqliteStore(None),
    **{kind: lambda _, started, kind=kind: RedisStore(started[kind]) for kind in SERVERS},
}


@pytest.fixture(scope="session")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    servers = Started(tmp_path_factory.mktemp)
    yield servers
    for made in servers.values():
        made.stop()


@pytest.fixture(params=STORES)
async def store(
    request: pytest.FixtureRequest, tmp_path: Path, started: Started
) -> AsyncIterator[Store]:
    """A new, empty store."""
    made = STORES[request.param](tmp_path, started)
    yield made
    await made.close()


@pytest.fixture
async def engine(store: Store) -> Engine:
    """An engine on the store."""
    return store.engine()


@pytest.fixture
async def pen(engine: Engine, store: Store) -> Pen:
    """The queue that the test is about, registered."""
    await engine.queues.register(QUEUE)
    return Pen(engine, QUEUE, store)


@pytest.fixture
async def other_pen(engine: Engine, store: Store) -> Pen:
    """A second queue in the same store."""
    await engine.queues.register(OTHER_QUEUE)
    return Pen(engine, OTHER_QUEUE, store)
