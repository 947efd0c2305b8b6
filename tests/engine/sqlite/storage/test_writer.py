"""The commits that calls share: one thread, one transaction for all that wait together."""

from __future__ import annotations

import asyncio
import errno
import os
import threading
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import apsw
import pytest

from tests.conformance.support import OTHER_QUEUE, QUEUE, job, news_of, tail_of
from tests.engine.sqlite.support import PROMPT, batch, exchange, opened, raw, total
from toril.engine.contract.hot_path import AddStatus, Batch, Exchange, Fetch
from toril.engine.sqlite import SqliteEngine
from toril.engine.sqlite.hot_path import add
from toril.engine.sqlite.storage.transaction import Transaction
from toril.errors import (
    ConflictError,
    EngineError,
    NotFoundError,
    StoreFullError,
    StoreUnavailableError,
)
from toril.model.job import QueueRef
from toril.model.limits import Limits
from toril.model.settlement import Complete

UNKNOWN = QueueRef("bull", "unknown")


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[SqliteEngine]:
    """An engine on a new file."""
    async with opened(tmp_path / "jobs.db") as made:
        yield made


@asynccontextmanager
async def held_up(engine: SqliteEngine) -> AsyncIterator[None]:
    """Keep the writer busy, so that the calls made meanwhile share the next transaction."""
    busy, free = threading.Event(), threading.Event()

    def hold(_: Transaction) -> None:
        busy.set()
        free.wait()

    holding = asyncio.create_task(engine._storage.writer.read(hold))
    await asyncio.to_thread(busy.wait)
    try:
        yield
    finally:
        free.set()
        await holding


async def together(engine: SqliteEngine, *calls: Awaitable[Any]) -> list[Any]:
    """Make calls that share a transaction; return what became of each."""
    async with held_up(engine):
        tasks = [asyncio.ensure_future(call) for call in calls]
        await asyncio.sleep(0)
    return await asyncio.gather(*tasks, return_exceptions=True)


async def test_calls_that_wait_together_share_a_transaction(engine: SqliteEngine) -> None:
    def itself(tx: Transaction) -> Transaction:
        return tx

    shared = await together(engine, *(engine._storage.writer.synced(itself) for _ in range(20)))
    assert len(set(map(id, shared))) == 1
    alone = [await engine._storage.writer.synced(itself) for _ in range(3)]
    assert len({id(tx) for tx in (*alone, shared[0])}) == 4


async def test_calls_that_share_a_transaction_are_seen_in_their_order(
    engine: SqliteEngine,
) -> None:
    answers = await together(
        engine,
        engine.add(QUEUE, [job("a")]),
        exchange(engine, fetch=5),
        engine.add(QUEUE, [job("a"), job("b")]),
        engine.queues.counts(QUEUE),
        exchange(engine, fetch=5),
    )
    assert [lease.id for lease in answers[1].leases] == ["a"]
    assert [added.status for added in answers[2]] == [AddStatus.DUPLICATE, AddStatus.CREATED]
    assert sum(answers[3].values()) == 2
    assert [lease.id for lease in answers[4].leases] == ["b"]


async def test_a_call_that_fails_takes_nobody_along(engine: SqliteEngine) -> None:
    await engine.add(QUEUE, [job("x")])
    answers = await together(
        engine,
        engine.add(QUEUE, batch(3, prefix="one")),
        engine.queues.pause(UNKNOWN),
        engine.add(QUEUE, batch(3, prefix="two"), Batch("producer", 1)),
        engine.queues.obliterate(UNKNOWN),
        exchange(engine, fetch=1),
    )
    assert [type(answer) for answer in answers] == [
        list,
        NotFoundError,
        list,
        NotFoundError,
        type(answers[4]),
    ]
    assert {added.status for added in (*answers[0], *answers[2])} == {AddStatus.CREATED}
    assert [lease.id for lease in answers[4].leases] == ["x"]
    assert await total(engine) == 7
    again = await engine.add(QUEUE, batch(3, prefix="two"), Batch("producer", 1))
    assert {added.status for added in again} == {AddStatus.DUPLICATE}


async def test_what_a_failing_call_had_written_is_undone(engine: SqliteEngine) -> None:
    def add_and_fail(tx: Transaction) -> None:
        add.add_all(tx, QUEUE, batch(5, prefix="lost"), Batch("producer", 1))
        raise ConflictError("on second thoughts")

    tail = await tail_of(engine, QUEUE)
    answers = await together(
        engine,
        engine.add(QUEUE, [job("kept")]),
        engine._storage.writer.synced(add_and_fail),
        engine.add(QUEUE, [job("kept-too")]),
    )
    assert isinstance(answers[1], ConflictError)
    assert await total(engine) == 2
    told, _ = await news_of(engine, QUEUE, tail)
    assert [event.job_id for event in told] == ["kept", "kept-too"]
    (added,) = await engine.add(QUEUE, [job("later")], Batch("producer", 1))
    assert added.status is AddStatus.CREATED


async def test_an_operation_that_fails_for_any_reason_is_told_to_who_asked(
    engine: SqliteEngine,
) -> None:
    def broken(_: Transaction) -> None:
        raise ZeroDivisionError

    def bad_sql(tx: Transaction) -> None:
        tx.run("SELECT * FROM nowhere")

    answers = await together(
        engine,
        engine._storage.writer.synced(broken),
        engine.add(QUEUE, [job("a")]),
        engine._storage.writer.synced(bad_sql),
    )
    assert isinstance(answers[0], ZeroDivisionError)
    assert isinstance(answers[2].__cause__, apsw.SQLError)
    assert await total(engine) == 1


async def test_a_caller_that_has_gone_holds_up_nobody(engine: SqliteEngine) -> None:
    async with held_up(engine):
        gone = asyncio.create_task(engine.add(QUEUE, [job("gone")]))
        stays = asyncio.create_task(engine.add(QUEUE, [job("stays")]))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)
    async with asyncio.timeout(PROMPT):
        assert [added.id for added in await stays] == ["stays"]
    assert gone.cancelled()
    assert await total(engine) == 2


async def test_more_calls_than_one_commit_takes_are_all_answered(engine: SqliteEngine) -> None:
    answers = await together(engine, *(engine.add(QUEUE, [job(f"j{n:04}")]) for n in range(1_300)))
    assert [answer[0].id for answer in answers] == [f"j{n:04}" for n in range(1_300)]
    assert await total(engine) == 1_300


def test_event_loops_in_several_threads_share_an_engine(tmp_path: Path) -> None:
    engine = SqliteEngine(str(tmp_path / "jobs.db"))

    async def add_many(name: str) -> None:
        await asyncio.gather(*(engine.add(QUEUE, [job(f"{name}-{n}")]) for n in range(50)))

    workers = [
        threading.Thread(target=lambda n=n: asyncio.run(add_many(f"t{n}"))) for n in range(4)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()

    async def look() -> int:
        found = await total(engine)
        await engine.close()
        return found

    assert asyncio.run(look()) == 200


async def test_a_queue_forgotten_with_its_last_events_leaves_none(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    async with opened(path) as engine:
        await engine.queues.register(OTHER_QUEUE)
        await together(
            engine, engine.queues.pause(OTHER_QUEUE), engine.queues.obliterate(OTHER_QUEUE)
        )
        connection = raw(path)
        assert connection.execute("SELECT kind FROM event").fetchall() == []
        connection.close()


# Durability


class Disk:
    """What one engine's syncs have brought to the disk, as far as the log's length tells."""

    def __init__(self, engine: SqliteEngine, path: Path) -> None:
        self._log = path.with_name(f"{path.name}-wal")
        thread = engine._storage.writer._thread
        assert thread is not None
        assert thread.syncer is not None
        self._syncer = thread.syncer
        self._real = self._syncer._sync
        self._syncer._sync = self._sync
        self.may_sync = threading.Event()
        self.may_sync.set()
        self.error: OSError | None = None
        self.synced = -1

    def _sync(self) -> None:
        self.may_sync.wait()
        if self.error is not None:
            raise self.error
        length = self._log.stat().st_size
        self._real()
        self.synced = length

    @property
    def has_all(self) -> bool:
        return self.synced == self._log.stat().st_size


@pytest.fixture
async def disk(engine: SqliteEngine, tmp_path: Path) -> AsyncIterator[Disk]:
    await engine.queues.register(QUEUE)
    disk = Disk(engine, tmp_path / "jobs.db")
    yield disk
    disk.may_sync.set()


async def take(engine: SqliteEngine, *done: Complete) -> Exchange:
    return await engine.exchange(QUEUE, done, Fetch(1, "worker", 60_000))


async def taken_while(engine: SqliteEngine) -> Exchange:
    """Take the job that is being added: it is committed before it is on the disk."""
    while True:
        answer = await take(engine)
        if answer.leases:
            return answer


async def test_what_was_promised_is_on_the_disk_when_the_call_returns(
    engine: SqliteEngine, disk: Disk
) -> None:
    async def settle() -> None:
        await engine.exchange(QUEUE, [Complete(leases.pop())], None)

    await engine.add(QUEUE, [job("a")])
    leases = [*(await take(engine)).leases]
    for call in (
        lambda: engine.add(QUEUE, [job("b")]),
        settle,
        lambda: engine.jobs.promote(QUEUE, ["b"]),
        lambda: engine.jobs.cancel(QUEUE, ["b"]),
        lambda: engine.jobs.retry(QUEUE, ["b"]),
        lambda: engine.jobs.change(QUEUE, "b", data="1"),
        lambda: engine.queues.pause(QUEUE),
        lambda: engine.queues.resume(QUEUE),
        lambda: engine.jobs.remove(QUEUE, ["b"]),
        lambda: engine.queues.register(QUEUE, Limits(concurrency=5)),
        lambda: together(engine, engine.add(QUEUE, [job("c")]), engine.note(QUEUE, [])),
        lambda: together(engine, engine.rescue(QUEUE, 1), engine.add(QUEUE, [job("d")])),
    ):
        disk.synced = -1
        await call()
        assert disk.has_all


async def test_who_adds_waits_for_the_disk_and_who_takes_does_not(
    engine: SqliteEngine, disk: Disk
) -> None:
    disk.may_sync.clear()
    adding = asyncio.create_task(engine.add(QUEUE, [job("a")]))
    taken = await taken_while(engine)
    assert not adding.done()
    disk.may_sync.set()
    async with asyncio.timeout(PROMPT):
        await adding
    assert taken.flushed is None


async def test_a_settlement_is_taken_at_once_and_kept_when_the_disk_has_it(
    engine: SqliteEngine, disk: Disk
) -> None:
    await engine.add(QUEUE, batch(3))
    answer = await take(engine)
    disk.may_sync.clear()
    answers = []
    for _ in range(2):
        answer = await take(engine, *map(Complete, answer.leases))
        assert answer.flushed is not None
        assert not answer.flushed.done()
        answers.append(answer.flushed)
    disk.may_sync.set()
    async with asyncio.timeout(PROMPT):
        await asyncio.gather(*answers)
    assert disk.has_all


@pytest.mark.parametrize(
    ("number", "kind"), [(errno.EIO, StoreUnavailableError), (errno.ENOSPC, StoreFullError)]
)
async def test_a_disk_that_fails_is_told_to_all_who_were_promised_something(
    engine: SqliteEngine, disk: Disk, number: int, kind: type[EngineError]
) -> None:
    await engine.add(QUEUE, batch(2))
    answer = await take(engine)
    disk.error = OSError(number, os.strerror(number))
    with pytest.raises(kind, match="may be lost"):
        await engine.add(QUEUE, [job("b")])
    answer = await take(engine, *map(Complete, answer.leases))
    assert answer.results == [None]
    assert answer.flushed is not None
    with pytest.raises(kind, match="may be lost"):
        await answer.flushed
    disk.error = None
    await engine.add(QUEUE, [job("c")])


async def test_what_waits_for_the_disk_is_kept_before_the_store_closes(
    engine: SqliteEngine, disk: Disk
) -> None:
    disk.may_sync.clear()
    adding = asyncio.create_task(engine.add(QUEUE, [job("a")]))
    await taken_while(engine)
    closing = asyncio.create_task(engine.close())
    await asyncio.sleep(0)
    disk.may_sync.set()
    async with asyncio.timeout(PROMPT):
        await closing
        assert [added.id for added in await adding] == ["a"]
