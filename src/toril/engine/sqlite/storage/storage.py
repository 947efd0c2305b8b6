"""The store of one engine: its file, the writer's thread, and the wake-ups."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar
from urllib.parse import quote

from toril.clock import Clock
from toril.engine.sqlite.storage.connection import MEMORY
from toril.engine.sqlite.storage.transaction import Transaction
from toril.engine.sqlite.storage.wake import Wake
from toril.engine.sqlite.storage.writer import Writer

P = ParamSpec("P")
R = TypeVar("R")


class Storage:
    """What an engine's parts run their operations on.

    Attributes:
        path: The file; None if everything is in memory.
        clock: The store's time.
        wake: Wakes whoever waits, after commits.
        writer: Runs operations, many to a commit.
    """

    def __init__(
        self,
        path: str | None,
        clock: Clock,
        *,
        create: bool,
        before_commit: Callable[[Transaction], None],
    ) -> None:
        """Prepare; `open` opens the file.

        Args:
            path: The file; None keeps everything in memory.
            clock: The store's time.
            create: Make the file if it does not exist.
            before_commit: Called with each transaction that writes, at its end.
        """
        self.path = None if path is None else str(Path(path).absolute())
        self.clock = clock
        self._create = create
        self._before_commit = before_commit
        self._closed = False
        self._set_up()

    def _set_up(self) -> None:
        self.wake = Wake(self.path)
        self.writer = Writer(
            self.path or MEMORY,
            self.clock,
            self.wake,
            create=self._create,
            before_commit=self._before_commit,
        )

    @property
    def location(self) -> str:
        """The URL of the store."""
        return "memory://" if self.path is None else f"sqlite:///{quote(self.path)}"

    async def open(self) -> None:
        """Open the file, after a close too."""
        if self._closed:
            self._closed = False
            self._set_up()
        await self.writer.start()

    async def close(self) -> None:
        """Finish what is under way and close the file."""
        self._closed = True
        await self.writer.stop()
        self.wake.close()  # after the writer: the last commits wake others too

    async def read(
        self,
        operation: Callable[Concatenate[Transaction, P], R],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """Run an operation that changes nothing."""
        return await self.writer.read(operation, *args, **kwargs)

    async def synced(
        self,
        operation: Callable[Concatenate[Transaction, P], R],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """Run an operation; return when it would survive a loss of power."""
        return await self.writer.synced(operation, *args, **kwargs)

    async def each_chunk(
        self,
        operation: Callable[Concatenate[Transaction, P], Any],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> int:
        """Run an operation until it returns 0; return the sum, so that nobody waits for long."""
        total = 0
        while done := await self.synced(operation, *args, **kwargs):
            total += done
        return total
