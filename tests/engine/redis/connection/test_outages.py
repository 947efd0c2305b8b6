"""A server that forgets, refuses, dies and comes back, under a worker that goes on."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from pathlib import Path

import pytest

from tests.conformance.support import QUEUE, job
from tests.redis_server import RedisServer
from tests.worker.waiting import until
from toril import JobContext, QueueManager, Settings, WorkerSettings
from toril.engine.contract.hot_path import Fetch
from toril.engine.redis import RedisEngine
from toril.engine.redis.connection.endpoint import parse
from toril.engine.redis.connection.wire import Wire, WireLostError
from toril.errors import EngineError, StoreFullError, StoreReadOnlyError, StoreUnavailableError
from toril.model.limits import Limits
from toril.model.settlement import Complete


async def test_scripts_that_the_server_forgot_are_loaded_again(
    engine: RedisEngine, wire: Wire
) -> None:
    for n in range(5):
        await wire.call("SCRIPT", "FLUSH")
        await engine.add(QUEUE, [job(f"j{n}")])
        await wire.call("SCRIPT", "FLUSH")
        answer = await engine.exchange(QUEUE, [], Fetch(1, "worker", 30_000))
        assert [lease.id for lease in answer.leases] == [f"j{n}"]


async def test_a_worker_goes_on_when_its_server_was_killed_and_comes_back(
    own_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    ran: Counter[int] = Counter()
    manager = QueueManager(own_server.url, settings=Settings())

    async def process(job: JobContext) -> int:
        await asyncio.sleep(0.01)  # so that the server is killed while jobs run
        ran[job.data] += 1
        return int(job.data)

    manager.register_processor("q", process)
    async with manager:
        handles = await manager.add_bulk("q", [{"data": n} for n in range(300)])
        settings = WorkerSettings(concurrency=5, lease=2, report_every=0)
        await manager.start_workers(settings=settings)
        for _ in range(3):
            before = len(ran)
            assert before < 300
            own_server.kill()
            own_server.start()
            await until(lambda n=before: len(ran) > n + 20)
        await until(lambda: len(ran) == 300)
        assert [await handle.result(timeout=20) for handle in handles] == list(range(300))
        counts = await manager.queue("q").counts()
    assert counts["completed"] == 300
    assert sum(counts.values()) == 300
    assert sum(ran.values()) <= 300 + 3 * 10
    assert "connected again" in caplog.text


async def test_a_full_server_refuses_new_jobs_and_lets_running_ones_finish(
    engine: RedisEngine, wire: Wire
) -> None:
    await engine.add(QUEUE, [job("a")])
    (lease,) = (await engine.exchange(QUEUE, [], Fetch(1, "worker", 30_000))).leases
    await wire.call("CONFIG", "SET", "maxmemory", "1mb")
    try:
        with pytest.raises(StoreFullError, match="no memory left"):
            await engine.add(QUEUE, [job("b")])
        answer = await engine.exchange(QUEUE, [Complete(lease)], None)
        assert answer.results == [None]
    finally:
        await wire.call("CONFIG", "SET", "maxmemory", "0")
    assert [found is None for found in await engine.jobs.get(QUEUE, ["a", "b"])] == [False, True]


async def test_a_replica_is_told_from_its_primary(server: RedisServer, tmp_path: Path) -> None:
    replica = RedisServer(tmp_path, options=["--replicaof", "127.0.0.1", str(server.port)])
    replica.start()
    engine = RedisEngine(parse(replica.url))
    try:
        with pytest.raises(StoreReadOnlyError, match="use the primary's address"):
            await engine.add(QUEUE, [job("a")])
        findings = {finding.check: finding for finding in await engine.examine()}
        assert findings["role"].level == "error"
    finally:
        await engine.close()
        replica.stop()


async def test_a_server_that_is_not_there_is_named() -> None:
    engine = RedisEngine(parse("redis://:secret@127.0.0.1:1/0"))
    with pytest.raises(StoreUnavailableError, match=r"redis://127\.0\.0\.1:1/0 cannot be reached"):
        await engine.open()
    await engine.close()


async def test_a_server_that_wants_a_password_says_so(tmp_path: Path) -> None:
    server = RedisServer(tmp_path, options=["--requirepass", "secret"])
    server.start(password="secret")
    try:
        for login, message in (("", "requires a password"), (":wrong@", "refuses the user")):
            url = server.url.replace("redis://", f"redis://{login}")
            engine = RedisEngine(parse(url))
            with pytest.raises(StoreUnavailableError, match=message) as caught:
                await engine.open()
            assert "wrong" not in str(caught.value)
            await engine.close()
        engine = RedisEngine(parse(server.url.replace("redis://", "redis://:secret@")))
        await engine.open()
        assert "secret" not in engine.location
        await engine.close()
    finally:
        server.stop()


async def test_a_unix_socket_does_as_well(tmp_path: Path) -> None:
    path = tmp_path / "redis.sock"
    server = RedisServer(tmp_path, options=["--unixsocket", str(path)])
    server.start()
    engine = RedisEngine(parse(f"unix://{path}?db=2"))
    try:
        await engine.add(QUEUE, [job("a")])
        assert sum((await engine.queues.counts(QUEUE)).values()) == 1
    finally:
        await engine.close()
        server.stop()


async def test_a_worker_makes_a_queue_visible_again_that_redis_lost_and_says_so(
    engine: RedisEngine, server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    await engine.queues.register(QUEUE, Limits(concurrency=3))
    fetch = Fetch(1, "worker", 30_000)
    await engine.exchange(QUEUE, [], fetch)
    server.flush()

    await engine.exchange(QUEUE, [], fetch)
    assert "no longer existed" in caplog.text
    await engine.exchange(QUEUE, [], fetch)
    assert [info.ref for info in await engine.queues.all()] == [QUEUE]
    assert caplog.text.count("no longer existed") == 1


async def test_exchanges_that_were_never_carried_out_leave_nothing_to_make_up_for(
    own_server: RedisServer,
) -> None:
    engine = RedisEngine(parse(own_server.url))
    await engine.queues.register(QUEUE)
    own_server.kill()
    for _ in range(5):
        with pytest.raises((StoreUnavailableError, WireLostError)):
            await engine.exchange(QUEUE, [], Fetch(1, "worker", 30_000))
    own_server.start()
    await engine.add(QUEUE, [job("a")])
    (lease,) = (await engine.exchange(QUEUE, [], Fetch(1, "worker", 30_000))).leases

    wire = await Wire.open(parse(own_server.url))
    (record,) = await wire.call("KEYS", "*exchange:*")
    assert record.rpartition("#")[2] in {"0", "1"}  # the first call may have been lost on its way
    assert lease.id == "a"
    await wire.close()
    await engine.close()


async def test_a_connection_that_is_refused_leaves_no_reply_that_is_never_retrieved(
    server: RedisServer, tmp_path: Path
) -> None:
    complaints: list[str] = []
    asyncio.get_running_loop().set_exception_handler(
        lambda _, context: complaints.append(context["message"])
    )
    locked = RedisServer(tmp_path, options=["--requirepass", "secret"])
    locked.start(password="secret")
    try:
        for url in (server.url.replace("/0", "/99999"), locked.url.replace("/0", "/1")):
            with pytest.raises(EngineError):
                await Wire.open(parse(url))
            gc.collect()
            await asyncio.sleep(0)
    finally:
        locked.stop()
    assert complaints == []
