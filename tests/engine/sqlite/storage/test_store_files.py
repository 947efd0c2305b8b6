"""The files under the writer: nothing is promised into a file that is not at its path."""

from __future__ import annotations

import asyncio
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conformance.support import QUEUE, job
from tests.engine.sqlite.support import batch, exchange, names, opened, program, total
from toril.engine.sqlite import SqliteEngine
from toril.errors import StoreUnavailableError
from toril.model.settlement import Complete


@pytest.fixture
def path() -> Iterator[Path]:
    """Where the store is: a path that is short enough for sockets beside it."""
    with tempfile.TemporaryDirectory(prefix="toril-") as folder:
        (Path(folder) / "store").mkdir()
        yield Path(folder) / "store" / "jobs.db"


# Other code of this process that opens the file


@pytest.mark.parametrize("how", ["ro", "rw", "copy"])
async def test_no_accepted_job_is_lost_when_its_process_looks_at_the_file_and_another_closes(
    path: Path, how: str
) -> None:
    async with program("onlooker", path, how) as process:
        for n in range(3):
            assert await process.line() == "looked"
            async with opened(path) as engine:
                await engine.add(QUEUE, [job(f"other-{n}")])
            await process.tell("")
        accepted = int(await process.line())
        await process.kill()
    async with opened(path) as engine:
        assert await total(engine) == accepted + 3
        findings = await engine.examine()
        assert [one.level for one in findings if one.check == "integrity"] == ["ok"]


async def test_two_engines_of_one_process_leave_one_another_their_locks(path: Path) -> None:
    async with opened(path) as engine, program("opener", "elsewhere") as process:
        await process.line()
        for n in range(5):
            async with opened(path) as passing:
                await passing.add(QUEUE, [job(f"p{n}")])
            await process.tell(str(path))
            await process.line()
            await engine.add(QUEUE, [job(f"j{n}")])
        await process.tell("")
        await process.end()
    async with opened(path) as engine:
        assert await total(engine) == 11


# Files that go


def move_away(path: Path) -> None:
    path.rename(path.with_name("moved.db"))


def remove(path: Path) -> None:
    path.unlink()


def remove_all(path: Path) -> None:
    for file in path.parent.glob("jobs.db*"):
        if file.is_file():
            file.unlink()


def replace(path: Path) -> None:
    other = path.with_name("other.db")
    other.write_bytes(b"")
    other.replace(path)


def remove_log(path: Path) -> None:
    path.with_name("jobs.db-wal").unlink()


def remove_index(path: Path) -> None:
    path.with_name("jobs.db-shm").unlink()


def is_there(path: Path) -> bool:
    return path.exists()


def move_folder(path: Path) -> None:
    path.parent.rename(path.parent.with_name(f"{path.parent.name}-moved"))


HARMS = [move_away, remove, remove_all, replace, remove_log, remove_index, move_folder]


@pytest.mark.parametrize("harm", HARMS)
async def test_nothing_is_promised_into_files_that_are_not_at_their_paths(
    path: Path, harm: Callable[[Path], None]
) -> None:
    async with opened(path) as engine:
        await engine.add(QUEUE, batch(5))
        harm(path)
        with pytest.raises(StoreUnavailableError, match="while the store was in use") as caught:
            await engine.add(QUEUE, [job("a")])
        assert str(path) in str(caught.value)


@pytest.mark.parametrize("harm", HARMS)
async def test_who_settles_hears_that_it_may_be_lost(
    path: Path, harm: Callable[[Path], None]
) -> None:
    async with opened(path) as engine:
        await engine.add(QUEUE, batch(1))
        (lease,) = (await exchange(engine, fetch=1)).leases
        harm(path)
        with pytest.raises(StoreUnavailableError):
            await engine.exchange(QUEUE, [Complete(lease)], None)


@pytest.mark.parametrize("harm", [remove_log, remove_index])
async def test_work_goes_on_after_a_lost_log_and_no_accepted_job_is_lost(
    path: Path, harm: Callable[[Path], None]
) -> None:
    async with opened(path) as engine:
        await engine.add(QUEUE, batch(5))
        harm(path)
        with pytest.raises(StoreUnavailableError):
            await engine.add(QUEUE, [job("a")])
        await engine.add(QUEUE, [job("a"), job("b")])
        assert await total(engine) == 7
    async with opened(path) as engine:
        assert await total(engine) == 7


async def test_work_goes_on_once_a_file_that_was_moved_is_back(path: Path) -> None:
    async with opened(path) as engine:
        await engine.add(QUEUE, batch(5))
        move_away(path)
        for _ in range(2):
            with pytest.raises(StoreUnavailableError, match="Put the file back"):
                await engine.add(QUEUE, [job("a")])
        assert not is_there(path)
        path.with_name("moved.db").rename(path)
        await engine.add(QUEUE, [job("b")])
        assert await total(engine) >= 6
    async with opened(path) as engine:
        assert {"b", *(f"job-{n:05}" for n in range(5))} <= {
            one.id for one in (await engine.jobs.page(QUEUE)).jobs
        }


async def test_a_removed_store_is_not_made_again_until_it_is_opened_anew(path: Path) -> None:
    async with opened(path) as engine:
        await engine.add(QUEUE, batch(5))
        remove_all(path)
        for _ in range(2):
            with pytest.raises(StoreUnavailableError):
                await engine.add(QUEUE, [job("a")])
        assert not is_there(path)
        await engine.close()
        await engine.open()
        await engine.add(QUEUE, [job("a")])
        assert await total(engine) == 1


async def test_another_file_in_its_place_is_not_mixed_with_the_old_log(path: Path) -> None:
    async with opened(path.with_name("backup.db")) as other:
        await other.add(QUEUE, [job("from the backup")])
    async with opened(path) as engine:
        await engine.add(QUEUE, batch(5))
        path.with_name("backup.db").replace(path)
        with pytest.raises(StoreUnavailableError, match="replaced"):
            await engine.add(QUEUE, [job("a")])
        with pytest.raises(StoreUnavailableError, match=r"remove .*jobs.db-wal and .*jobs.db-shm"):
            await engine.add(QUEUE, [job("a")])
        for name in ("jobs.db-wal", "jobs.db-shm"):
            path.with_name(name).unlink()
        assert [one.id for one in (await engine.jobs.page(QUEUE)).jobs] == ["from the backup"]


async def test_closing_leaves_a_file_alone_that_has_taken_its_place(path: Path) -> None:
    async with opened(path) as engine:
        await engine.add(QUEUE, batch(5))
        remove_all(path)
        async with opened(path) as newer:
            await newer.add(QUEUE, batch(3))
            await engine.close()
            assert path.with_name("jobs.db-wal").exists()
            await newer.add(QUEUE, [job("a")])
            assert await total(newer) == 4


async def test_reads_do_not_come_from_a_file_that_is_gone(path: Path) -> None:
    async with opened(path) as engine:
        await engine.add(QUEUE, batch(5))
        remove_all(path)

        async def hears_of_it() -> None:
            while True:
                await engine.queues.counts(QUEUE)

        with pytest.raises(StoreUnavailableError):
            async with asyncio.timeout(30):
                await hears_of_it()


async def test_a_store_that_was_lost_leaves_no_open_file(path: Path) -> None:
    async def cycle() -> None:
        engine = SqliteEngine(str(path))
        await engine.add(QUEUE, batch(1))
        remove_all(path)
        with pytest.raises(StoreUnavailableError):
            await engine.add(QUEUE, [job("a")])
        await engine.close()

    def open_files() -> int:
        return len(list(Path("/dev/fd").iterdir()))

    await cycle()
    before = open_files()
    for _ in range(5):
        await cycle()
    assert open_files() == before


# Permissions


def mode(file: Path) -> int:
    return stat.S_IMODE(file.stat().st_mode)


@pytest.fixture
def no_mask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


async def modes(path: Path) -> dict[str, int]:
    async with opened(path) as engine:
        await engine.add(QUEUE, batch(1))
        await exchange(engine, fetch=1)
        return {name: mode(path.parent / name) for name in names(path.parent)}


@pytest.mark.usefixtures("no_mask")
async def test_a_store_is_for_its_user_alone(path: Path) -> None:
    assert await modes(path) == {
        "jobs.db": 0o600,
        "jobs.db-shm": 0o600,
        "jobs.db-wal": 0o600,
        "jobs.db-wake": 0o700,
    }


def make_for_group(path: Path) -> None:
    path.touch()
    path.chmod(0o660)


async def test_who_gives_the_file_to_a_group_gives_it_all_that_belongs_to_it(path: Path) -> None:
    make_for_group(path)
    assert await modes(path) == {
        "jobs.db": 0o660,
        "jobs.db-shm": 0o660,
        "jobs.db-wal": 0o660,
        "jobs.db-wake": 0o770,
    }


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a file of another user")
@pytest.mark.parametrize("name", ["jobs.db-wal", "jobs.db-shm"])
async def test_a_log_that_another_user_laid_beside_the_store_is_refused(
    path: Path, name: str
) -> None:
    async with opened(path):
        pass
    path.parent.chmod(0o1777)
    path.with_name(name).touch()
    os.chown(path.with_name(name), 65_534, 65_534)
    engine = SqliteEngine(str(path))
    with pytest.raises(StoreUnavailableError, match="belongs to another user"):
        await engine.queues.counts(QUEUE)
    await engine.close()
