"""The connections to one primary on one event loop: few, named, and opened when needed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Any, Self

import hiredis

from toril.engine.contract.rules import is_closed
from toril.engine.redis.connection.errors import code_of, translate, translate_of
from toril.engine.redis.connection.locator import Locator
from toril.engine.redis.connection.wire import Wire
from toril.engine.redis.scripts.keys import keys_of
from toril.engine.redis.scripts.script import script
from toril.model.job import QueueRef
from toril.printable import logger

_logger = logger("toril.engine")


class PrimaryConnections:
    """One connection for all calls that answer at once, and further ones for blocking calls.

    Attributes:
        location: The primary's URL without a password.
    """

    def __init__(self, locator: Locator) -> None:
        """Prepare.

        Args:
            locator: Finds the primary, and opens connections to it.
        """
        self.location = locator.location
        self._locator = locator
        self._wire: Wire | None = None
        self._former: Wire | None = None
        self._opening: asyncio.Task[Wire] | None = None
        self._others: set[Wire] = set()
        self._closed = False
        self._guard: AsyncGenerator[None, None] | None = None
        self._watcher: asyncio.Task[None] | None = None

    async def open(self) -> None:
        await self.wire()

    async def primaries(self) -> Sequence[Self]:
        return [self]

    def group_of(self, queue: QueueRef) -> int:  # noqa: ARG002 - one server holds all queues
        return 0

    async def wire(self) -> Wire:
        """Return the connection for calls that answer at once.

        Raises:
            EngineError: The connection cannot be opened.
        """
        if self._wire is not None and self._wire.is_open:
            return self._wire
        if self._opening is None:
            self._opening = asyncio.create_task(self._opened("toril", self._locator.timeout))
        opening = self._opening
        try:
            wire = await asyncio.shield(opening)
        except asyncio.CancelledError:
            if self._closed and opening.cancelled():
                raise is_closed(self.location) from None
            raise
        finally:
            if self._opening is opening and opening.done():
                self._opening = None
        if self._wire is not wire:  # another waiter may have switched to it already
            self._switch(wire)
        if self._guard is None:
            self._guard = self._close_with_loop()
            await anext(self._guard)
        return wire

    def _switch(self, wire: Wire) -> None:
        former = self._wire or self._former
        self._wire, self._former = wire, None
        if former is not None:
            same = wire.address == former.address
            how = "connected again" if same else f"connected to the new primary {wire.address}"
            _logger.warning("%s: %s; %s", self.location, former.why, how)
        if self._locator.follows and (self._watcher is None or self._watcher.done()):
            self._watcher = asyncio.create_task(self._watch_primary())

    async def _watch_primary(self) -> None:
        """Leave a primary that was replaced, even if it still answers."""
        while (wire := self._wire) is not None:
            await self._locator.until_replaced(wire.address)
            why = f"{wire.address} is no longer the primary"
            self._leave(wire, why)
            for other in self._others:
                if other.address == wire.address:
                    other.abort(why)

    def _leave(self, wire: Wire, why: str) -> None:
        """Send nothing more over a connection; the next call opens another one."""
        if self._wire is wire:
            self._wire, self._former = None, wire
        wire.retire(why)

    async def _close_with_loop(self) -> AsyncGenerator[None, None]:
        """Close when the event loop ends, if not closed before: `asyncio.run` ends generators."""
        try:
            yield
        finally:
            self._guard = None
            await self.close()

    async def _opened(self, name: str, timeout: float | None) -> Wire:
        wire = await self._locator.open(name, timeout)
        if self._closed:
            await wire.close()
            raise is_closed(self.location)
        return wire

    async def another(
        self,
        name: str,
        queue: QueueRef,  # noqa: ARG002 - one server holds all queues
        longest: float | None = None,
    ) -> Wire:
        timeout = None if longest is None else longest + self._locator.timeout
        wire = await self._opened(name, timeout)
        self._others = {other for other in self._others if not other.is_gone} | {wire}
        return wire

    async def run(self, name: str, queue: QueueRef, *args: Any) -> Any:
        wire = self._wire
        if wire is None or not wire.is_open:
            wire = await self.wire()
        try:
            return await wire.evaluate(script(name), keys_of(queue).all, *args)
        except hiredis.ReplyError as error:
            if not self._left(wire, error):
                raise translate_of(queue, error, self.location) from error
        wire = await self.wire()
        try:
            return await wire.evaluate(script(name), keys_of(queue).all, *args)
        except hiredis.ReplyError as error:
            self._left(wire, error)
            raise translate_of(queue, error, self.location) from error

    def _left(self, wire: Wire, error: hiredis.ReplyError) -> bool:
        """Leave a primary that has become a replica, if another can have replaced it.

        A replica runs nothing of a call that it refuses, so the call can be sent again.

        Returns:
            Whether it was left.
        """
        if not self._locator.follows or code_of(error) != "READONLY":
            return False
        self._leave(wire, f"{wire.address} has become a replica")
        return True

    async def call(self, *request: Any) -> Any:
        wire = await self.wire()
        try:
            return await wire.send(*request)
        except hiredis.ReplyError as error:
            self._left(wire, error)
            raise translate(error, self.location) from error

    async def ask(self, queue: QueueRef, *request: Any) -> Any:  # noqa: ARG002 - as group_of
        return await self.call(*request)

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        if self._guard is not None:
            await self._guard.aclose()
        tasks = [task for task in (self._opening, self._watcher) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for wire in (self._wire, self._former, *self._others):
            if wire is not None:
                await wire.close()
        self._wire, self._former, self._others = None, None, set()
