"""A Redis server of the tests' own, and an engine on it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.conformance.support import QUEUE
from tests.engine.redis.proxy import Proxy
from tests.redis_server import RedisServer
from toril.engine.redis import RedisEngine
from toril.engine.redis.connection.endpoint import parse
from toril.engine.redis.connection.wire import Wire


@pytest.fixture(scope="session")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def server(shared_server: RedisServer) -> Iterator[RedisServer]:
    """The shared server, empty."""
    yield shared_server
    shared_server.flush()


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[RedisServer]:
    """A server that a test may kill; what it acknowledged is on the disk."""
    server = RedisServer(tmp_path, options=["--appendonly", "yes", "--appendfsync", "always"])
    server.start()
    yield server
    server.stop()


@pytest.fixture
async def engine(server: RedisServer) -> AsyncIterator[RedisEngine]:
    made = RedisEngine(parse(server.url))
    yield made
    await made.close()


@pytest.fixture
async def wire(server: RedisServer) -> AsyncIterator[Wire]:
    made = await Wire.open(parse(server.url))
    yield made
    await made.close()


@pytest.fixture
async def proxy(server: RedisServer) -> AsyncIterator[Proxy]:
    made = Proxy(server.port)
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def far(proxy: Proxy) -> AsyncIterator[RedisEngine]:
    """An engine that reaches the server through the proxy."""
    made = RedisEngine(parse(proxy.url))
    await made.queues.register(QUEUE)
    yield made
    await made.close()
