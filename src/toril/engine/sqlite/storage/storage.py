"""The storage of one engine: the file, the writer's thread, and wake-ups."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar
from urllib.parse import quote

from toril.clock import Clock
from toril.engine.sqlite.storage.connection import MEMORY
from toril.engine.sqlite.storage.transaction import Registered, Transaction
from toril.engine.sqlite.storage.wake import Wake
from toril.engine.sqlite.storage.writer import Writer
from toril.forks import leave_behind
from toril.model.job import QueueRef

P = ParamSpec("P")
R = TypeVar("R")


class Storage:
    """Runs the operations of an engine's parts.

    Attributes:
        path: The file; None if everything is in memory.
        clock: The store's clock.
        wake: Wakes waiters after commits.
        writer: Runs operations, many per commit.
    """

    def __init__(
        self,
        path: str | None,
        clock: Clock,
        *,
        create: bool,
        before_commit: Callable[[Transaction], None],
    ) -> None:
        """Create a storage without opening the file; `open` does that.

        Args:
            path: The file; None keeps everything in memory.
            clock: The store's clock.
            create: Whether to create the file if it does not exist.
            before_commit: Called with each transaction, just before its commit.
        """
        self.path = None if path is None else str(Path(path).absolute())
        self.clock = clock
        self._create = create
        self._before_commit = before_commit
        self._closed = False
        self._registered: dict[QueueRef, Registered] = {}
        self._set_up()

    def _set_up(self) -> None:
        self.wake = Wake(self.path)
        self.writer = Writer(
            self.path or MEMORY,
            self.location,
            self.clock,
            self.wake,
            create=self._create,
            before_commit=self._before_commit,
            registered=self._registered,
        )

    @property
    def location(self) -> str:
        """The store's URL."""
        return "memory://" if self.path is None else f"sqlite:///{quote(self.path)}"

    async def open(self) -> None:
        """Open the file. A closed storage can be opened again."""
        if self._closed:
            self._closed = False
            if self.path is None:  # what was registered is gone with the memory
                for queue, known in self._registered.items():
                    self._registered[queue] = known._replace(row=0)
            self._set_up()
        await self.writer.start()

    def start_over(self) -> None:
        """Begin anew in a forked child, and leave the parent's connection to the parent."""
        leave_behind(self.writer, self.wake)
        self.wake.leave_to_parent()
        was_open = self.writer.is_open
        self._set_up()
        if was_open:
            self.writer.has_forked = True

    async def close(self) -> None:
        """Finish pending calls and close the file."""
        self._closed = True
        await self.writer.stop()
        self.wake.close()  # after the writer, whose last commits also wake others

    async def read(
        self,
        operation: Callable[Concatenate[Transaction, P], R],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """Run an operation that changes nothing."""
        return await self.writer.read(operation, *args, **kwargs)

    async def committed(
        self,
        operation: Callable[Concatenate[Transaction, P], R],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """Run an operation; return once it is committed. A loss of power may undo it."""
        return await self.writer.committed(operation, *args, **kwargs)

    async def synced(
        self,
        operation: Callable[Concatenate[Transaction, P], R],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """Run an operation; return once its changes survive a loss of power."""
        return await self.writer.synced(operation, *args, **kwargs)

    async def each_chunk(
        self,
        operation: Callable[Concatenate[Transaction, P], Any],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> int:
        """Run an operation until it returns 0; return the sum.

        Working in chunks keeps transactions short, so that nobody else waits for long.
        """
        total = 0
        while done := await self.synced(operation, *args, **kwargs):
            total += done
        return total
