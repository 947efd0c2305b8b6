"""Several processes on one file: each job once, and who waits is woken."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import tempfile
import threading
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.conformance.support import QUEUE, job, tail_of
from tests.engine.sqlite.support import (
    BOUND,
    PROMPT,
    Program,
    batch,
    exchange,
    names,
    no_threads_are_left,
    opened,
    program,
    threads,
    total,
)
from toril.engine.sqlite import SqliteEngine
from toril.engine.sqlite.storage.topic import Topic
from toril.engine.sqlite.storage.wake import _folder_for
from toril.model.job import QueueRef
from toril.model.settlement import Complete
from toril.model.state import JobState


@pytest.fixture
def path() -> Iterator[Path]:
    """Where the store is: a path that is short enough for sockets beside it."""
    with tempfile.TemporaryDirectory(prefix="toril-") as folder:
        yield Path(folder) / "jobs.db"


@pytest.fixture
def deep_path(tmp_path: Path) -> Path:
    """A path that is too long for sockets beside it."""
    folder = tmp_path / ("deep" * 25)
    folder.mkdir()
    return folder / "jobs.db"


@pytest.fixture
async def engine(path: Path) -> AsyncIterator[SqliteEngine]:
    """This process's engine on the store."""
    async with opened(path) as made:
        yield made


def folder_of(path: Path) -> Path:
    """Return the wake folder of a store."""
    return path.with_name(f"{path.name}-wake")


def sockets(path: Path) -> set[str]:
    """Return the sockets of processes that listen beside a store."""
    folder = folder_of(path)
    return {file.name for file in folder.iterdir()} if folder.exists() else set()


def of_process(found: Iterable[str], process: Program) -> list[str]:
    return [name for name in found if f"-{process.process.pid}-" in name]


async def is_waiting(process: Program) -> None:
    assert await process.line() == "waiting"


# Sharing


async def test_each_job_is_run_once_by_the_processes_that_share_a_file(
    path: Path, engine: SqliteEngine
) -> None:
    jobs, consumers = 1_500, 2
    async with (
        program("consumer", path, "one", 7) as one,
        program("consumer", path, "two", 30) as two,
    ):
        for process in (one, two):
            assert await process.line() == "ready"
        async with program("producer", path, jobs, 40) as producer:
            assert await producer.line() == str(jobs)
        await engine.add(QUEUE, [job(f"stop-{n}", name="stop") for n in range(50)])
        reports = [await process.json() for process in (one, two)]
        for process in (one, two):
            await process.end()
    ran = [report["ran"] for report in reports]
    assert sorted(ran[0] + ran[1]) == [f"job-{n:06}" for n in range(jobs)]
    assert [report["refused"] for report in reports] == [[], []]
    counts = await engine.queues.counts(QUEUE)
    assert counts[JobState.COMPLETED] >= jobs + consumers
    assert counts[JobState.ACTIVE] == 0
    by_worker = await engine.jobs.get(QUEUE, ran[0])
    assert {found.result for found in by_worker if found is not None} <= {"one"}


async def test_a_killed_processs_jobs_are_rescued_by_another(
    path: Path, engine: SqliteEngine
) -> None:
    async with program("waiter", path, "work") as process:
        await is_waiting(process)
        await engine.add(QUEUE, [job("a")])
        assert await process.line() == "a"
        await process.kill()
    found = await engine.jobs.get(QUEUE, ["a"])
    assert [one.worker for one in found if one is not None] == ["waiter"]
    assert await engine.rescue(QUEUE, 5) == []  # its lease holds still


# Waking


async def test_a_process_that_waits_is_woken_by_an_add_in_another(
    path: Path, engine: SqliteEngine
) -> None:
    async with program("waiter", path, "work") as process:
        await is_waiting(process)
        await engine.add(QUEUE, [job("a")])
        assert await process.line(within=PROMPT) == "a"
        await process.tell("")
        await process.end()


async def test_a_process_that_follows_events_is_woken_by_another(
    path: Path, engine: SqliteEngine
) -> None:
    async with program("waiter", path, "events") as process:
        await is_waiting(process)
        await engine.add(QUEUE, [job("a")])
        assert await process.line(within=PROMPT) == "added a"
        await process.tell("")
        await process.end()


async def test_every_process_that_waits_is_woken(path: Path, engine: SqliteEngine) -> None:
    async with program("waiter", path, "work") as one, program("waiter", path, "work") as two:
        for process in (one, two):
            await is_waiting(process)
        await engine.add(QUEUE, [job("a"), job("b")])
        woken = [await process.line(within=PROMPT) for process in (one, two)]
        assert sorted(woken) == ["a", "b"]
        for process in (one, two):
            await process.tell("")
            await process.end()


async def test_a_process_is_woken_though_its_path_is_too_long_for_a_socket(
    deep_path: Path,
) -> None:
    async with opened(deep_path) as engine, program("waiter", deep_path, "work") as process:
        await is_waiting(process)
        await engine.add(QUEUE, [job("a")])
        assert await process.line(within=PROMPT) == "a"
        await process.tell("")
        await process.end()
    assert names(deep_path.parent) == ["jobs.db"]
    assert not _folder_for(str(deep_path)).exists()


async def test_sockets_are_not_put_where_somebody_elses_link_leads(
    deep_path: Path, tmp_path: Path
) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "work-of-years.txt").write_text("dear")
    link = _folder_for(str(deep_path))
    link.symlink_to(victim)
    try:
        async with opened(deep_path) as engine:
            await exchange(engine, fetch=1)
            await engine.add(QUEUE, batch(1))
            await total(engine)
            assert names(victim) == ["work-of-years.txt"]
    finally:
        link.unlink()


async def test_only_dead_sockets_are_cleaned_away(path: Path, engine: SqliteEngine) -> None:
    await exchange(engine, fetch=1)
    other = Path(f"{path}-wake") / "work-notes.txt"
    other.write_text("dear")
    await engine.add(QUEUE, batch(1))
    await total(engine)
    assert other.exists()


async def test_who_adds_and_closes_at_once_has_woken_the_others(
    path: Path, engine: SqliteEngine
) -> None:
    for n in range(40):
        answer = await exchange(engine, fetch=1)
        waiting = asyncio.create_task(engine.wait(QUEUE, None, answer.token))
        await asyncio.sleep(0)
        passing = SqliteEngine(str(path))
        await passing.add(QUEUE, [job(f"j{n}")])
        await passing.close()
        async with asyncio.timeout(PROMPT):
            await waiting
        (lease,) = (await exchange(engine, fetch=1)).leases
        await exchange(engine, [Complete(lease)])


# Whatever happens to the sockets and their folder


@asynccontextmanager
async def listening(path: Path) -> AsyncIterator[SqliteEngine]:
    """Give an engine that others can wake."""
    async with opened(path) as engine:
        await exchange(engine, fetch=1)
        yield engine


async def is_woken_by(path: Path, engine: SqliteEngine, job_id: str) -> None:
    """Check that an idle engine is woken when another adds a job."""
    answer = await exchange(engine, fetch=1)
    waiting = asyncio.create_task(engine.wait(QUEUE, None, answer.token))
    await asyncio.sleep(0)
    async with opened(path) as other:
        await other.add(QUEUE, [job(job_id)])
        async with asyncio.timeout(PROMPT):
            await waiting
    (lease,) = (await exchange(engine, fetch=1)).leases
    assert lease.id == job_id
    await exchange(engine, [Complete(lease)])


async def has_sockets(path: Path, before: Iterable[str] = ()) -> None:
    """Wait until there are sockets that were not there before."""
    async with asyncio.timeout(BOUND):
        while not sockets(path) - set(before):  # noqa: ASYNC110 - nothing signals it
            await asyncio.sleep(0.01)


MESSAGES = {
    "not text": b"\xff\xfe\x00",
    "nothing": b"",
    "without a colon": b"work",
    "lines": b"\n\n:\n",
    "long": b"x" * 60_000,
}


@pytest.mark.parametrize("message", MESSAGES.values(), ids=MESSAGES)
async def test_no_message_ends_the_listening(path: Path, message: bytes) -> None:
    async with listening(path) as engine:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as stranger:
            for name in sockets(path):
                stranger.sendto(message, f"{path}-wake/{name}")
        await is_woken_by(path, engine, "a")


async def test_messages_about_unknown_queues_take_no_memory(path: Path) -> None:
    async with listening(path) as engine:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as stranger:
            for name in sockets(path):
                lines = "\n".join(f"bull:q{n}" for n in range(1_000))
                stranger.sendto(lines.encode(), f"{path}-wake/{name}")
        await is_woken_by(path, engine, "a")
        assert {queue for _, queue in engine._storage.wake._generations} == {QUEUE}


async def test_a_folder_that_was_removed_is_made_again(path: Path) -> None:
    async with listening(path) as engine:
        shutil.rmtree(f"{path}-wake")
        await has_sockets(path)
        await is_woken_by(path, engine, "a")


async def test_a_socket_that_was_removed_is_bound_again(path: Path) -> None:
    async with listening(path) as engine:
        for name in sockets(path):
            (folder_of(path) / name).unlink()
        await has_sockets(path)
        await is_woken_by(path, engine, "a")


async def test_who_waits_while_the_folder_is_removed_looks_for_work(path: Path) -> None:
    async with listening(path) as engine:
        answer = await exchange(engine, fetch=1)
        waiting = asyncio.create_task(engine.wait(QUEUE, None, answer.token))
        await asyncio.sleep(0)
        shutil.rmtree(f"{path}-wake")
        async with asyncio.timeout(PROMPT):
            await waiting


async def test_a_socket_that_fails_is_bound_again(path: Path) -> None:
    async with listening(path) as engine:
        before = sockets(path)
        bell = engine._storage.wake._bells[Topic.WORK]
        assert bell is not None
        descriptor = bell._listener.detach()
        try:
            await has_sockets(path, before)
            await is_woken_by(path, engine, "a")
        finally:
            os.close(descriptor)


async def test_a_message_about_more_queues_than_fit_reaches_all(path: Path) -> None:
    queues = [QueueRef("bull", f"{n:0200}") for n in range(1_000)]
    async with opened(path) as engine:
        wake = engine._storage.wake
        token = {queues[-1]: wake.token(Topic.WORK, queues[-1])}
        waiting = asyncio.create_task(wake.wait(Topic.WORK, token, None))
        await asyncio.sleep(0)
        async with opened(path) as other:
            other._storage.wake.notify(Topic.WORK, queues)
            async with asyncio.timeout(PROMPT):
                await waiting


# Who may have made the folder


async def works_without_sockets(path: Path) -> None:
    """Check that an engine puts no socket in the folder, and gets its jobs all the same."""
    async with opened(path) as engine:
        await is_woken_by(path, engine, "a")
        assert sockets(path) == set()


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o702])
async def test_a_folder_that_others_can_write_to_is_not_used(path: Path, mode: int) -> None:
    folder = folder_of(path)
    folder.mkdir()
    folder.chmod(mode)
    await works_without_sockets(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a folder of another user")
async def test_a_folder_of_another_user_is_not_used_until_it_is_removed(path: Path) -> None:
    folder = folder_of(path)
    folder.mkdir(mode=0o700)
    os.chown(folder, 65_534, 65_534)
    await works_without_sockets(path)
    async with listening(path) as engine:
        folder.rmdir()
        await has_sockets(path)
        await is_woken_by(path, engine, "b")


async def test_a_link_to_a_folder_is_not_used(path: Path) -> None:
    (path.parent / "elsewhere").mkdir(mode=0o700)
    folder_of(path).symlink_to(path.parent / "elsewhere")
    await works_without_sockets(path)


# What is left


async def test_the_socket_of_a_killed_process_is_cleaned_away(
    path: Path, engine: SqliteEngine
) -> None:
    async with program("waiter", path, "work") as process:
        await is_waiting(process)
        assert of_process(sockets(path), process)
        await process.kill()
        assert of_process(sockets(path), process)
        await engine.add(QUEUE, [job("a")])
        await engine.add(QUEUE, [job("b")])  # synced after the others have been rung
        assert of_process(sockets(path), process) == []


async def test_the_last_process_to_close_leaves_nothing_but_the_store(path: Path) -> None:
    async with opened(path) as engine, program("waiter", path, "work") as process:
        await is_waiting(process)
        await exchange(engine, fetch=1)
        assert len(sockets(path)) == 2
        await engine.add(QUEUE, batch(1))
        await process.line()
        await process.tell("")
        await process.end()
        assert of_process(sockets(path), process) == []
        assert len(sockets(path)) == 1
    assert names(path.parent) == ["jobs.db"]


async def test_a_process_that_closes_leaves_the_others_listening(
    path: Path, engine: SqliteEngine
) -> None:
    async with program("waiter", path, "work") as process:
        await is_waiting(process)
        async with opened(path) as passing:
            await exchange(passing, fetch=1)
        assert of_process(sockets(path), process)
        await engine.add(QUEUE, [job("a")])
        assert await process.line(within=PROMPT) == "a"
        await process.tell("")
        await process.end()


async def test_a_closed_engine_leaves_no_thread(path: Path) -> None:
    await asyncio.to_thread(len, "")  # so that the loop's own thread is there before
    before = set(threading.enumerate())
    engine = SqliteEngine(str(path))
    answer = await exchange(engine, fetch=1)
    waiting = asyncio.create_task(engine.wait(QUEUE, None, answer.token))
    await engine.events.read({QUEUE: await tail_of(engine, QUEUE)}, timeout=0)
    assert len(threads()) >= 2
    await engine.close()
    await waiting
    await no_threads_are_left()
    assert set(threading.enumerate()) <= before


async def test_an_engine_that_is_opened_and_closed_leaves_no_open_file(path: Path) -> None:
    async def cycle() -> None:
        async with opened(path) as engine:
            await exchange(engine, fetch=1)
            await engine.events.read({QUEUE: await tail_of(engine, QUEUE)}, timeout=0)
            await engine.add(QUEUE, batch(1))
        await no_threads_are_left()

    def open_files() -> int:
        return len(list(Path("/dev/fd").iterdir()))

    await cycle()
    before = open_files()
    for _ in range(5):
        await cycle()
    assert open_files() == before


async def test_an_engine_in_memory_touches_no_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with opened(None) as engine:
        await engine.add(QUEUE, batch(5))
        leases = (await exchange(engine, fetch=5)).leases
        await exchange(engine, [Complete(lease) for lease in leases])
        await engine.events.read({QUEUE: await tail_of(engine, QUEUE)}, timeout=0)
        assert await total(engine) == 5
        assert engine.location == "memory://"
        assert names(tmp_path) == []
    assert names(tmp_path) == []


async def test_two_engines_in_memory_are_two_stores() -> None:
    async with opened(None) as one, opened(None) as two:
        await one.add(QUEUE, batch(5))
        assert (await total(one), await total(two)) == (5, 0)


async def test_what_an_engine_can_do_depends_on_where_it_is(path: Path) -> None:
    on_disk, in_memory = SqliteEngine(str(path)), SqliteEngine(None)
    assert (on_disk.capabilities.durable, on_disk.capabilities.shared) == (True, True)
    assert (in_memory.capabilities.durable, in_memory.capabilities.shared) == (False, False)
    assert {on_disk.capabilities.name, in_memory.capabilities.name} == {"sqlite"}
