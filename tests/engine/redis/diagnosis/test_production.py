"""A server that is set to throw jobs away is refused in production, and warned of elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.redis_server import RedisServer
from toril import JobContext, QueueManager, Settings
from toril.errors import ConfigurationError

WORDS = "maxmemory-policy is allkeys-lru: .* set it to noeviction"


@pytest.fixture
def forgetful(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path, options=["--maxmemory-policy", "allkeys-lru"])
    server.start()
    yield server
    server.stop()


def manager_on(server: RedisServer, *, production: bool) -> QueueManager:
    manager = QueueManager(server.url, settings=Settings(production=production))
    manager.register_processor("q", process)
    return manager


async def process(job: JobContext) -> None: ...


async def test_in_production_nothing_starts_on_a_server_that_evicts(forgetful: RedisServer) -> None:
    manager = manager_on(forgetful, production=True)
    for start in (manager.open, manager.start_workers, manager.run_workers):
        with pytest.raises(ConfigurationError, match=WORDS):
            await start()
    assert await manager.engine.queues.all() == []
    await manager.shutdown()


async def test_elsewhere_a_worker_warns_of_a_server_that_evicts(
    forgetful: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    manager = manager_on(forgetful, production=False)
    await manager.run_workers(burst=True)
    await manager.shutdown()
    assert caplog.text.count("maxmemory-policy is allkeys-lru") == 1


async def test_in_production_a_server_that_keeps_its_jobs_is_taken(
    server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    manager = manager_on(server, production=True)
    await manager.run_workers(burst=True)
    await manager.shutdown()
    assert "maxmemory-policy" not in caplog.text
