"""The engines under test. A further one is a further entry in STORES."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.conformance.support import OTHER_QUEUE, QUEUE, ManualClock, Pen, Store
from toril.engine.base import Engine
from toril.engine.sqlite import SqliteEngine


class SqliteStore:
    """A SQLite store whose time is moved by hand."""

    def __init__(self, path: Path | None) -> None:
        self._path = None if path is None else str(path)
        self._clock = ManualClock()
        self._engines: list[SqliteEngine] = []

    def engine(self) -> Engine:
        engine = SqliteEngine(self._path, clock=self._clock)
        self._engines.append(engine)
        return engine

    async def advance(self, ms: int) -> None:
        self._clock.advance(ms)

    def pass_time(self, ms: int) -> None:
        self._clock.advance(ms)

    async def now(self) -> int:
        return self._clock.wall_ms()

    async def close(self) -> None:
        for engine in self._engines:
            await engine.close()


STORES = {
    "sqlite-file": lambda folder: SqliteStore(folder / "jobs.db"),
    "sqlite-memory": lambda folder: SqliteStore(None),
}


@pytest.fixture(params=STORES)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    """A new, empty store."""
    made = STORES[request.param](tmp_path)
    yield made
    await made.close()


@pytest.fixture
async def engine(store: Store) -> Engine:
    """An engine on the store."""
    return store.engine()


@pytest.fixture
async def pen(engine: Engine, store: Store) -> Pen:
    """The queue that the test is about, registered."""
    await engine.register(QUEUE)
    return Pen(engine, QUEUE, store)


@pytest.fixture
async def other_pen(engine: Engine, store: Store) -> Pen:
    """A second queue in the same store."""
    await engine.register(OTHER_QUEUE)
    return Pen(engine, OTHER_QUEUE, store)
