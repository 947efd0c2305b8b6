"""A server that is set to throw jobs away is refused in production, and warned of elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.redis_groups import Cluster, WatchedServers
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
    own_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    manager = manager_on(own_server, production=True)
    await manager.run_workers(burst=True)
    await manager.shutdown()
    assert "maxmemory-policy" not in caplog.text


NO_FILE = "the append-only file is off: .* set appendonly yes.* TORIL_ALLOW_VOLATILE=1"


async def test_in_production_a_server_that_forgets_its_jobs_is_refused(
    server: RedisServer,
) -> None:
    manager = manager_on(server, production=True)
    for start in (manager.open, manager.start_workers, manager.run_workers):
        with pytest.raises(ConfigurationError, match=NO_FILE):
            await start()
    assert await manager.engine.queues.all() == []
    await manager.shutdown()


@pytest.mark.parametrize(
    "given",
    [
        {"settings": Settings(production=True), "allow_volatile": True},
        {"settings": Settings(production=True, allow_volatile=True)},
        {"settings": Settings(production=False)},
    ],
)
async def test_a_server_that_forgets_its_jobs_is_taken_where_that_is_allowed(
    server: RedisServer, given: dict[str, Any]
) -> None:
    manager = QueueManager(server.url, **given)
    async with manager:
        assert await manager.examine()


async def test_what_evicts_jobs_is_refused_though_they_may_be_forgotten(
    forgetful: RedisServer,
) -> None:
    manager = QueueManager(forgetful.url, settings=Settings(production=True), allow_volatile=True)
    with pytest.raises(ConfigurationError, match=WORDS):
        await manager.open()
    await manager.shutdown()


@pytest.mark.parametrize("appendonly", ["yes", "no"])
async def test_a_user_who_may_not_read_the_settings_is_told_what_info_says(
    tmp_path: Path, appendonly: str
) -> None:
    server = RedisServer(tmp_path, options=["--appendonly", appendonly])
    server.start()
    server.ask("ACL", "SETUSER", "app", "on", ">pw", "~*", "&*", "+@all", "-config")
    url = server.url.replace("redis://", "redis://app:pw@")
    manager = QueueManager(url, settings=Settings(production=True))
    try:
        if appendonly == "yes":
            await manager.open()
            (found,) = [f for f in await manager.examine() if f.check == "durability"]
            assert (found.level, "cannot be read" in found.message) == ("ok", True)
        else:
            with pytest.raises(ConfigurationError, match=NO_FILE):
                await manager.open()
    finally:
        await manager.shutdown()
        server.stop()


async def test_in_production_a_server_that_tells_nothing_is_refused(
    own_server: RedisServer,
) -> None:
    own_server.ask("ACL", "SETUSER", "app", "on", ">pw", "~*", "&*", "+@all", "-info")
    url = own_server.url.replace("redis://", "redis://app:pw@")
    manager = QueueManager(url, settings=Settings(production=True))
    with pytest.raises(ConfigurationError, match=r"not known if Redis keeps jobs: allow \+info"):
        await manager.open()
    await manager.shutdown()


@pytest.mark.parametrize("kind", [WatchedServers, Cluster])
async def test_in_production_each_primary_is_looked_at(
    tmp_path: Path, kind: type[WatchedServers | Cluster]
) -> None:
    servers = kind(tmp_path, options=["--appendonly", "yes"])
    servers.start()
    manager = QueueManager(servers.url, prefix="{bull}", settings=Settings(production=True))
    try:
        await manager.open()
        servers.masters[-1].ask("CONFIG", "SET", "appendonly", "no")
        with pytest.raises(ConfigurationError, match=NO_FILE):
            await manager.open()
    finally:
        await manager.shutdown()
        servers.stop()
