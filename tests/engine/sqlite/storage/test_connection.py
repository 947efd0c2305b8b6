"""Opening a store: what is refused, with which words, and what is left alone."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import apsw
import pytest

from tests.conformance.support import QUEUE
from tests.engine.sqlite.support import (
    PROMPT,
    batch,
    exchange,
    names,
    no_threads_are_left,
    opened,
    program,
    raw,
    total,
)
from toril.engine.sqlite import SqliteEngine
from toril.engine.sqlite.storage.migrations import APPLICATION_ID, migrations
from toril.errors import (
    EngineError,
    StoreBusyError,
    StoreCorruptError,
    StoreUnavailableError,
    StoreVersionError,
)

PAGE = 4096


async def refusal(path: Path | str) -> EngineError:
    """Return the error with which a store is refused."""
    engine = SqliteEngine(str(path))
    with pytest.raises(EngineError) as caught:
        async with asyncio.timeout(PROMPT):
            await engine.queues.register(QUEUE)
    await engine.close()
    await no_threads_are_left()
    return caught.value


# Places that cannot be


async def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    error = await refusal(tmp_path / "nowhere" / "jobs.db")
    assert isinstance(error, StoreUnavailableError)
    assert str(tmp_path / "nowhere") in str(error)
    assert "does not exist" in str(error)
    assert not (tmp_path / "nowhere").exists()


async def test_a_path_that_is_a_folder_is_refused(tmp_path: Path) -> None:
    error = await refusal(tmp_path)
    assert isinstance(error, StoreUnavailableError)
    assert "is a folder" in str(error)
    assert names(tmp_path) == []


async def test_a_path_through_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text")
    error = await refusal(tmp_path / "file" / "jobs.db")
    assert isinstance(error, StoreUnavailableError)


@pytest.mark.parametrize("name", ["x" * 300 + ".db", "a\x00b.db"])
async def test_a_name_that_no_file_can_have_is_refused(tmp_path: Path, name: str) -> None:
    error = await refusal(f"{tmp_path}/{name}")
    assert isinstance(error, StoreUnavailableError)


async def test_a_store_that_is_not_to_be_made_is_not_made(tmp_path: Path) -> None:
    engine = SqliteEngine(str(tmp_path / "jobs.db"), create=False)
    with pytest.raises(StoreUnavailableError, match="no store"):
        await engine.queues.all()
    await engine.close()
    assert names(tmp_path) == []


async def test_a_store_can_be_opened_once_what_was_wrong_is_mended(tmp_path: Path) -> None:
    engine = SqliteEngine(str(tmp_path / "late" / "jobs.db"))
    with pytest.raises(StoreUnavailableError):
        await engine.queues.register(QUEUE)
    (tmp_path / "late").mkdir()
    await engine.queues.register(QUEUE)
    assert await total(engine) == 0
    await engine.close()


async def test_all_who_wait_for_the_opening_hear_of_its_failure(tmp_path: Path) -> None:
    engine = SqliteEngine(str(tmp_path / "nowhere" / "jobs.db"))
    answers = await asyncio.gather(
        *(engine.queues.register(QUEUE) for _ in range(20)), return_exceptions=True
    )
    assert {type(answer) for answer in answers} == {StoreUnavailableError}
    await engine.close()


# Permissions


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder in which other users may write, for a process that is not root."""
    with tempfile.TemporaryDirectory(prefix="toril-") as name:
        folder = Path(name)
        folder.chmod(0o777)
        yield folder
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o777)


async def seen_by_another_user(path: Path) -> tuple[str, str]:
    """Return the error that a user without rights gets; the process gives up root's."""
    async with program("open_as_nobody", path) as process:
        kind, _, message = (await process.line()).partition(" ")
        await process.end()
    return kind, message


async def test_a_folder_that_may_not_be_written_is_named(public: Path) -> None:
    folder = public / "sealed"
    folder.mkdir(mode=0o555)
    kind, message = await seen_by_another_user(folder / "jobs.db")
    assert kind == "StoreReadOnlyError"
    assert str(folder) in message
    assert "permissions" in message
    assert names(folder) == []


async def test_a_store_in_a_folder_that_may_not_be_written_is_refused(public: Path) -> None:
    folder = public / "sealed"
    folder.mkdir()
    async with opened(folder / "jobs.db"):
        pass
    (folder / "jobs.db").chmod(0o666)
    folder.chmod(0o555)
    kind, message = await seen_by_another_user(folder / "jobs.db")
    assert kind == "StoreReadOnlyError"
    assert str(folder) in message


async def test_a_file_that_may_not_be_written_is_named(public: Path) -> None:
    path = public / "jobs.db"
    async with opened(path):
        pass
    path.chmod(0o444)
    kind, message = await seen_by_another_user(path)
    assert kind == "StoreReadOnlyError"
    assert str(path) in message
    assert "permissions" in message


@pytest.mark.parametrize("inside", ["jobs.db", "further/jobs.db"])
async def test_a_folder_that_may_not_be_entered_is_refused(public: Path, inside: str) -> None:
    folder = public / "locked"
    (folder / inside).parent.mkdir(parents=True)
    folder.chmod(0o000)
    kind, message = await seen_by_another_user(folder / inside)
    assert kind in {"StoreUnavailableError", "StoreReadOnlyError"}
    assert str(folder) in message


async def test_a_user_with_rights_can_work(public: Path) -> None:
    kind, _ = await seen_by_another_user(public / "jobs.db")
    assert kind == "works"


# Files that are no Toril store


def text(path: Path) -> None:
    path.write_text("This is no database, and longer than a header of a hundred bytes. " * 20)


def noise(path: Path) -> None:
    path.write_bytes(bytes(n * 89 % 251 for n in range(8192)))


async def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    for make in (text, noise):
        path = tmp_path / "jobs.db"
        make(path)
        before = path.read_bytes()
        error = await refusal(path)
        assert isinstance(error, StoreCorruptError)
        assert str(path) in str(error)
        assert "not a SQLite database" in str(error)
        assert path.read_bytes() == before


def with_tables(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("CREATE TABLE job (x); INSERT INTO job VALUES (1)")


def with_our_version(path: Path) -> None:
    with_tables(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {max(migrations())}")


def with_another_id(path: Path) -> None:
    with_tables(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("PRAGMA application_id = 1; PRAGMA user_version = 1")


@pytest.mark.parametrize("make", [with_tables, with_our_version, with_another_id])
async def test_another_programs_database_is_refused_and_left_alone(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    path = tmp_path / "jobs.db"
    make(path)
    before = path.read_bytes()
    error = await refusal(path)
    assert isinstance(error, StoreCorruptError)
    assert "another program" in str(error)
    assert str(path) in str(error)
    assert path.read_bytes() == before
    assert names(tmp_path) == ["jobs.db"]


async def test_a_store_of_a_newer_toril_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    async with opened(path) as engine:
        await engine.add(QUEUE, batch(3))
    newer = max(migrations()) + 1
    connection = raw(path)
    connection.execute(f"PRAGMA user_version = {newer}")
    connection.close()
    before = path.read_bytes()
    error = await refusal(path)
    assert isinstance(error, StoreVersionError)
    assert f"version {newer}" in str(error)
    assert "upgrade" in str(error)
    assert path.read_bytes() == before


# Damage


def damage(path: Path, from_page: int) -> None:
    """Make garbage of a file's pages from one on."""
    size = path.stat().st_size
    start = from_page * PAGE
    assert start < size
    with path.open("r+b") as file:
        file.seek(start)
        file.write(b"\xa5" * (size - start))


async def damaged(path: Path, from_page: int) -> None:
    """Leave a store with many jobs, of which only the first pages are sound."""
    async with opened(path) as engine:
        await engine.add(QUEUE, batch(3_000, 50))
        await exchange(engine, fetch=10)
    damage(path, from_page)


async def test_a_damaged_schema_is_told_when_it_is_opened(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    await damaged(path, 1)
    error = await refusal(path)
    assert isinstance(error, StoreCorruptError)
    assert str(path) in str(error)
    assert "backup" in str(error)


async def test_damage_deeper_inside_is_told_when_it_is_met(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    await damaged(path, 60)
    engine = SqliteEngine(str(path))
    with pytest.raises(StoreCorruptError, match="is damaged"):
        await exchange(engine, fetch=3_000)
    errors = [finding for finding in await engine.examine() if finding.level == "error"]
    assert [finding.check for finding in errors] == ["integrity"]
    await engine.close()


async def test_a_truncated_store_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    async with opened(path) as engine:
        await engine.add(QUEUE, batch(1_000, 50))
    os.truncate(path, 4096 * 3)
    error = await refusal(path)
    assert isinstance(error, StoreCorruptError)


# New files


async def test_an_empty_file_becomes_a_store(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    path.touch()
    async with opened(path) as engine:
        await engine.add(QUEUE, batch(2))
        assert await total(engine) == 2
    connection = raw(path)
    assert connection.pragma("application_id") == APPLICATION_ID
    assert connection.pragma("user_version") == max(migrations())
    connection.close()


async def test_a_new_store_is_made_where_its_path_says(tmp_path: Path) -> None:
    path = tmp_path / "with space – 東京 🐂.db"
    async with opened(path) as engine:
        await engine.add(QUEUE, batch(2))
        assert engine.location == f"sqlite:///{quote(str(path))}"
    assert path.exists()
    async with opened(path) as engine:
        assert await total(engine) == 2


async def test_a_relative_path_is_held_though_the_process_goes_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    engine = SqliteEngine("jobs.db")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    await engine.queues.register(QUEUE)
    await engine.close()
    assert (tmp_path / "jobs.db").exists()


async def test_engines_that_find_a_new_file_at_once_make_one_store(tmp_path: Path) -> None:
    for n in range(10):
        path = tmp_path / f"jobs-{n}.db"
        engines = [SqliteEngine(str(path)) for _ in range(4)]
        await asyncio.gather(*(engine.open() for engine in engines))
        await asyncio.gather(
            *(engine.add(QUEUE, batch(1, prefix=f"e{k}")) for k, engine in enumerate(engines))
        )
        assert [await total(engine) for engine in engines] == [4] * 4
        await asyncio.gather(*(engine.close() for engine in engines))


async def test_processes_that_find_a_new_file_at_once_make_one_store(tmp_path: Path) -> None:
    async with program("opener", "one") as one, program("opener", "two") as two:
        for process in (one, two):
            assert await process.line() == "ready"
        for n in range(8):
            path = tmp_path / f"jobs-{n}.db"
            for process in (one, two):
                await process.tell(str(path))
            assert [await process.line() for process in (one, two)] == ["added", "added"]
            async with opened(path) as engine:
                assert await total(engine) == 2


# A lock that another process holds


async def test_a_call_waits_for_another_processs_transaction(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    async with opened(path) as engine:
        other = raw(path)
        other.execute("BEGIN IMMEDIATE")
        adding = asyncio.create_task(engine.add(QUEUE, batch(2)))
        done, _ = await asyncio.wait({adding}, timeout=0.1)
        assert not done
        other.execute("COMMIT")
        other.close()
        async with asyncio.timeout(PROMPT):
            await adding


async def test_looking_waits_for_no_lock(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    async with opened(path) as engine:
        await engine.add(QUEUE, batch(2))
        other = raw(path)
        other.execute("BEGIN IMMEDIATE")
        async with asyncio.timeout(PROMPT):
            assert await total(engine) == 2
        other.execute("ROLLBACK")
        other.close()


async def test_calls_that_find_the_store_locked_too_long_are_told_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("toril.engine.sqlite.storage.connection.BUSY_MS", 200)
    path = tmp_path / "jobs.db"
    async with opened(path) as engine:
        other = raw(path)
        other.execute("BEGIN IMMEDIATE")
        async with asyncio.timeout(PROMPT):
            answers = await asyncio.gather(
                *(engine.add(QUEUE, batch(1, prefix=f"c{n}")) for n in range(60)),
                return_exceptions=True,
            )
        assert {type(answer) for answer in answers} == {StoreBusyError}
        assert "write lock" in str(answers[0])
        other.execute("ROLLBACK")
        other.close()
        await engine.add(QUEUE, batch(2))
        assert await total(engine) == 2


def test_an_error_of_the_store_chains_its_cause(tmp_path: Path) -> None:
    async def open_noise() -> None:
        noise(tmp_path / "jobs.db")
        engine = SqliteEngine(str(tmp_path / "jobs.db"))
        try:
            await engine.open()
        finally:
            await engine.close()

    with pytest.raises(StoreCorruptError) as caught:
        asyncio.run(open_noise())
    assert isinstance(caught.value.__cause__, apsw.NotADBError)
