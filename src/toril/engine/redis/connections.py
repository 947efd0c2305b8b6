"""The connections of one engine on one event loop: few, named, and opened when needed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from typing import Any

import hiredis

from toril.engine.redis.endpoint import Endpoint
from toril.engine.redis.keys import keys_of
from toril.engine.redis.scripts import script
from toril.engine.redis.translating import translate
from toril.engine.redis.wire import Wire
from toril.errors import ConflictError, NotFoundError, StoreUnavailableError
from toril.model.job import QueueRef

_logger = logging.getLogger("toril.engine")


class Connections:
    """One connection for all that answers at once, and further ones for what waits."""

    def __init__(self, endpoint: Endpoint) -> None:
        """Prepare.

        Args:
            endpoint: The server.
        """
        self._endpoint = endpoint
        self._wire: Wire | None = None
        self._opening: asyncio.Task[Wire] | None = None
        self._others: set[Wire] = set()
        self._closed = False
        self._guard: AsyncGenerator[None, None] | None = None

    async def wire(self) -> Wire:
        """Return the connection for calls that answer at once.

        Raises:
            EngineError: It cannot be opened.
        """
        if self._wire is not None and self._wire.is_open:
            return self._wire
        if self._opening is None:
            self._opening = asyncio.create_task(self._opened("toril", self._endpoint.timeout))
        opening = self._opening
        try:
            wire = await asyncio.shield(opening)
        finally:
            if self._opening is opening and opening.done():
                self._opening = None
        if self._wire is not wire:  # who waited first
            if self._wire is not None:
                why = self._wire.why
                _logger.warning("%s: %s; connected again", self._endpoint.location, why)
            self._wire = wire
        if self._guard is None:
            self._guard = self._until_the_loop_ends()
            await anext(self._guard)
        return wire

    async def _until_the_loop_ends(self) -> AsyncGenerator[None, None]:
        """Close with the event loop, if nobody did before: `asyncio.run` ends generators."""
        try:
            yield
        finally:
            self._guard = None
            await self.close()

    async def _opened(self, name: str, timeout: float | None) -> Wire:
        wire = await Wire.open(self._endpoint, name=name, timeout=timeout)
        if self._closed:
            await wire.close()
            raise StoreUnavailableError(f"{self._endpoint.location} was closed meanwhile")
        return wire

    async def another(self, name: str) -> Wire:
        """Open a connection for a call that waits; whoever opens it closes it.

        Args:
            name: Its name.
        """
        wire = await self._opened(name, None)
        self._others = {other for other in self._others if not other.is_gone} | {wire}
        return wire

    async def run(self, name: str, queue: QueueRef, *args: Any) -> Any:
        """Run a script on a queue.

        Args:
            name: The script.
            queue: The queue, whose keys it gets.
            *args: Its ARGV.

        Raises:
            NotFoundError: There is no such queue, for scripts that want one.
            ConflictError: Jobs of it are active, for scripts that want none.
            EngineError: The store failed.
        """
        wire = await self.wire()
        try:
            return await script(name).run(wire, keys_of(queue).all, *args)
        except hiredis.ReplyError as error:
            raise self._translated(error, queue) from error

    def _translated(self, error: hiredis.ReplyError, queue: QueueRef) -> Exception:
        code, _, rest = str(error).partition(" ")
        if code == "NOQUEUE":
            return NotFoundError(f"there is no queue {str(queue)!r}")
        if code == "ACTIVE":
            return ConflictError(
                f"{rest} jobs of {str(queue)!r} are active; wait for them, or force it"
            )
        return translate(error, self._endpoint.location)

    async def call(self, *request: Any) -> Any:
        """Run one command.

        Raises:
            EngineError: The store failed.
        """
        return await (await self.wire()).call(*request)

    async def close(self) -> None:
        """Close all connections, and those that are being opened."""
        if self._closed:
            return
        self._closed = True
        if self._guard is not None:
            await self._guard.aclose()
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.gather(self._opening, return_exceptions=True)
        for wire in (self._wire, *self._others):
            if wire is not None:
                await wire.close()
        self._wire, self._others = None, set()
