"""Sentinels name another master: work goes on there by itself, and nothing replicated is lost."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from itertools import count
from pathlib import Path

import pytest

from tests.conformance.support import QUEUE, job, jobs
from tests.engine.redis.proxy import Proxy
from tests.redis_groups import SERVICE, WatchedServers
from tests.redis_server import RedisServer, free_port
from tests.worker.waiting import until
from toril import JobContext, QueueManager, Settings, WorkerSettings
from toril.application.stores import open_engine
from toril.engine.contract.engine import Engine
from toril.engine.contract.hot_path import Fetch
from toril.errors import ConfigurationError, EngineError, StoreBusyError, StoreUnavailableError
from toril.model.settlement import Complete
from toril.queues.queue import Queue

FETCH = Fetch(2, "worker", 30_000)


@pytest.fixture
def group(tmp_path: Path) -> Iterator[WatchedServers]:
    servers = WatchedServers(tmp_path)
    servers.start()
    yield servers
    servers.stop()


@pytest.fixture
async def engine(group: WatchedServers) -> AsyncIterator[Engine]:
    made = open_engine(group.url)
    yield made
    await made.close()


def wait_until_replicated(group: WatchedServers) -> None:
    """Return when the replica has all that the master has acknowledged."""
    offset = re.search(r"master_repl_offset:\d+", group.master.ask("INFO", "replication"))
    wanted = offset[0].replace("master", "slave")
    while wanted not in group.replica.ask("INFO", "replication"):
        pass


class Producer:
    """Adds a job again and again, whatever becomes of it.

    Attributes:
        accepted: The numbers of those that were acknowledged.
    """

    def __init__(self, manager: QueueManager) -> None:
        self._manager = manager
        self._task = asyncio.create_task(self._produce())
        self.accepted: list[int] = []

    async def _produce(self) -> None:
        for n in count(10_000):
            with contextlib.suppress(EngineError):
                await self._manager.add_job("q", data=n)
                self.accepted.append(n)
            await asyncio.sleep(0.02)

    async def stop(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


async def test_a_worker_goes_on_at_the_new_master_when_the_old_one_is_killed(
    group: WatchedServers, caplog: pytest.LogCaptureFixture
) -> None:
    ran: Counter[int] = Counter()
    manager = QueueManager(group.url, settings=Settings())
    alive = asyncio.Event()

    async def process(job: JobContext) -> int:
        await alive.wait()
        ran[job.data] += 1
        return int(job.data)

    manager.register_processor("q", process)
    async with manager:
        settings = WorkerSettings(concurrency=5, lease=30, report_every=0)
        await manager.start_workers(settings=settings)
        handles = await manager.add_bulk("q", [{"data": n} for n in range(300)])
        queue = manager.queue("q")
        await until_active(queue, 5)  # jobs run while their master dies
        wait_until_replicated(group)
        group.master.kill()
        alive.set()
        producer = Producer(manager)
        async with asyncio.timeout(20):
            await until(lambda: len(producer.accepted) > 20)
            await until(lambda: len(ran) >= 300 + 20)
        await producer.stop()
        results = [await handle.result(timeout=10) for handle in handles]
        await until(lambda: ran.keys() >= set(producer.accepted))
        await until_active(queue, 0)
        counts = await queue.counts()
    assert results == list(range(300))
    assert max(ran.values()) == 1
    assert counts["completed"] == sum(counts.values()) == len(ran)
    told = f"connected to the new primary 127.0.0.1:{group.replica.port}"
    assert 1 <= caplog.text.count(told) <= 2  # the loop's connection, and the heartbeat's


async def until_active(queue: Queue, n: int) -> None:
    async def reached() -> bool:
        return (await queue.counts())["active"] == n

    await until(reached)


async def test_a_worker_leaves_a_master_that_does_not_know_that_it_was_replaced(
    group: WatchedServers, caplog: pytest.LogCaptureFixture
) -> None:
    manager = QueueManager(group.url, settings=Settings())
    manager.register_processor("q", echo)
    async with manager:
        await manager.start_workers(settings=WorkerSettings(concurrency=5, report_every=0))
        before = await manager.add_job("q", data=1)
        assert await before.result(timeout=10) == 1
        await demote(group)
        await until(lambda: "is no longer the primary; connected" in caplog.text)
        assert group.master.ask("ROLE").startswith("master")  # it does not know yet
        after = await manager.add_job("q", data=2)
        async with asyncio.timeout(4):  # a marker that nobody waits for costs five
            assert await after.result() == 2


async def echo(job: JobContext) -> int:
    return int(job.data)


async def demote(group: WatchedServers) -> None:
    """Let the Sentinels make the replica the master while both live."""
    assert group.sentinels[0].ask("SENTINEL", "FAILOVER", SERVICE) == "OK"
    for sentinel in group.sentinels:
        await until(lambda one=sentinel: str(group.replica.port) in master_by(one))


def master_by(sentinel: RedisServer) -> str:
    return sentinel.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)


async def test_a_call_that_the_old_master_refuses_is_sent_to_the_new_one(
    group: WatchedServers, engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    await engine.add(QUEUE, [job("a")])
    wait_until_replicated(group)
    # As a managed service does it: connections to the old master are not cut.
    group.replica.ask("REPLICAOF", "NO", "ONE")
    group.master.ask("REPLICAOF", "127.0.0.1", group.replica.port)
    name_as_master(group, group.replica.port)
    await engine.add(QUEUE, [job("b")])
    assert sum((await engine.queues.counts(QUEUE)).values()) == 2
    assert "connected to the new primary" in caplog.text


def name_as_master(group: WatchedServers, port: int) -> None:
    """Let the Sentinels name another server, without their changing anything."""
    for sentinel in group.sentinels:
        sentinel.ask("SENTINEL", "REMOVE", SERVICE)
        sentinel.ask("SENTINEL", "MONITOR", SERVICE, "127.0.0.1", port, 3)


async def test_an_exchange_whose_answer_was_lost_is_made_up_for_at_the_new_master(
    group: WatchedServers,
) -> None:
    proxy = Proxy(group.master.port)
    await proxy.start()
    name_as_master(group, proxy.port)
    engine = open_engine(f"{group.url}?timeout=0.5")
    await engine.add(QUEUE, jobs("a", "b", "c", "d"))
    first = await engine.exchange(QUEUE, [], FETCH)
    done = [Complete(lease) for lease in first.leases]
    proxy.lose_replies_to(b"EVALSHA", times=1)
    with pytest.raises(StoreBusyError):
        await engine.exchange(QUEUE, done, FETCH)
    wait_until_replicated(group)
    group.replica.ask("REPLICAOF", "NO", "ONE")
    await proxy.stop()
    name_as_master(group, group.replica.port)
    second = await engine.exchange(QUEUE, done, FETCH)
    await engine.close()
    assert second.results == [None, None]
    assert [(lease.id, lease.attempts_started) for lease in second.leases] == [("c", 1), ("d", 1)]


async def test_a_server_that_says_it_is_a_replica_is_not_taken_for_the_master(
    group: WatchedServers, engine: Engine
) -> None:
    group.replica.stop()
    group.master.ask("REPLICAOF", "127.0.0.1", group.replica.port)
    with pytest.raises(
        StoreUnavailableError, match="should be the primary, but its role is 'slave'"
    ):
        await engine.open()


async def test_a_service_that_the_sentinels_do_not_know_is_named(group: WatchedServers) -> None:
    engine = open_engine(group.url.replace(f"/{SERVICE}", "/jbos"))
    with pytest.raises(ConfigurationError, match=r"does not watch 'jbos'; did you mean 'jobs'\?"):
        await engine.open()
    await engine.close()


async def test_a_sentinel_that_is_away_is_passed_over(group: WatchedServers) -> None:
    nowhere = f"redis+sentinel://127.0.0.1:{free_port()},"
    engine = open_engine(group.url.replace("redis+sentinel://", nowhere))
    await engine.add(QUEUE, [job("a")])
    await engine.close()


async def test_sentinels_that_are_all_away_are_named() -> None:
    engine = open_engine("redis+sentinel://ada:secret@127.0.0.1:1,127.0.0.1:2/jobs")
    with pytest.raises(StoreUnavailableError, match=r":1/0 cannot .*:2/0 cannot") as caught:
        await engine.open()
    assert "secret" not in str(caught.value)
    await engine.close()


async def test_sentinels_that_want_a_login_of_their_own_are_given_it(
    group: WatchedServers,
) -> None:
    group.master.ask("CONFIG", "SET", "requirepass", "of-the-master")
    for sentinel in group.sentinels:
        sentinel.ask("ACL", "SETUSER", "default", ">of-the-sentinels")
    login = group.url.replace("://", "://:of-the-master@")
    for given in ("", "?sentinel_password=wrong"):
        engine = open_engine(login + given)
        with pytest.raises(StoreUnavailableError, match="sentinel_password=…") as caught:
            await engine.open()
        assert "wrong" not in str(caught.value)
        await engine.close()
    engine = open_engine(f"{login}?sentinel_password=of-the-sentinels")
    await engine.open()
    assert "of-the" not in engine.location
    await engine.close()
