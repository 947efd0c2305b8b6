"""What the tests of the SQLite engine share: raw connections and other processes."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import apsw

from tests.conformance.support import QUEUE, job
from toril.engine.contract.hot_path import Exchange, Fetch
from toril.engine.sqlite import SqliteEngine
from toril.model.job import NewJob, QueueRef
from toril.model.settlement import Settlement

PROGRAMS = Path(__file__).parent / "programs"
ROOT = Path(__file__).parents[3]

PROMPT = 3.5
"""Seconds within which a process is woken: less than the five after which it looks by itself."""

BOUND = 60
"""Seconds after which a process that should have answered is a failure."""


@asynccontextmanager
async def opened(path: Path | None) -> AsyncIterator[SqliteEngine]:
    """Give an engine, open with its queue registered, and close it."""
    engine = SqliteEngine(None if path is None else str(path))
    try:
        await engine.queues.register(QUEUE)
        yield engine
    finally:
        await engine.close()


def batch(count: int, size: int = 10, prefix: str = "job") -> list[NewJob]:
    """Return so many jobs of so many bytes each."""
    return [job(f"{prefix}-{n:05}", json.dumps("x" * size)) for n in range(count)]


async def exchange(
    engine: SqliteEngine, settlements: Sequence[Settlement] = (), fetch: int = 0
) -> Exchange:
    return await engine.exchange(QUEUE, settlements, Fetch(fetch, "worker", 60_000))


async def total(engine: SqliteEngine, queue: QueueRef = QUEUE) -> int:
    return sum((await engine.queues.counts(queue)).values())


def raw(path: Path) -> apsw.Connection:
    """Return a connection behind the engine's back."""
    return apsw.Connection(str(path))


def names(folder: Path) -> list[str]:
    """Return what is in a folder."""
    return sorted(file.name for file in folder.iterdir())


def threads() -> list[threading.Thread]:
    """Return the engine's threads that are alive."""
    return [thread for thread in threading.enumerate() if thread.name.startswith("toril")]


async def no_threads_are_left() -> None:
    """Check that the engine's threads have ended, or do so now."""
    for thread in threads():
        await asyncio.to_thread(thread.join, PROMPT)
    assert threads() == []


class Program:
    """A Python program in a process of its own, with which one speaks by lines."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def line(self, within: float = BOUND) -> str:
        """Return its next line."""
        assert self.process.stdout is not None
        async with asyncio.timeout(within):
            found = (await self.process.stdout.readline()).decode().rstrip("\n")
        if not found:
            await self.process.wait()
            raise AssertionError(f"the program ended with {self.process.returncode}")
        return found

    async def json(self) -> Any:
        return json.loads(await self.line())

    async def tell(self, text: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(text.encode() + b"\n")
        await self.process.stdin.drain()

    async def end(self) -> None:
        """Wait until it has ended by itself, well."""
        async with asyncio.timeout(BOUND):
            assert await self.process.wait() == 0

    async def kill(self) -> None:
        """End it without a chance to clean up."""
        self.process.kill()
        await self.process.wait()


@asynccontextmanager
async def program(name: str, *args: object, through: Sequence[str] = ()) -> AsyncIterator[Program]:
    """Run a program from `programs`; kill it in the end if it still runs."""
    process = await asyncio.create_subprocess_exec(
        *through,
        sys.executable,
        str(PROGRAMS / f"{name}.py"),
        *map(str, args),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), *sys.path))},
    )
    try:
        yield Program(process)
    finally:
        if process.returncode is None:
            process.kill()
        # Reads what is left, so that no transport stays open.
        await process.communicate()
