"""Waiting for work: one blocking call a queue, however many wait.

BullMQ's marker is taken away by who sees it first. So a marker that comes when nobody here
waits any more is put back for others, unless somebody waits again in a moment; and one that
tells of a later time sets a timer. Who waits hears of jobs that are added here without it.
"""

from __future__ import annotations

import asyncio
import logging

from toril.engine.redis.connection.connections import Connections
from toril.engine.redis.connection.wire import Wire
from toril.engine.redis.scripts.keys import client_name, keys_of
from toril.errors import EngineError
from toril.model.job import QueueRef

_logger = logging.getLogger("toril.engine")

_HELD_SECONDS = 0.005  # a marker that came too early for who waits next
_BLOCK_SECONDS = 5  # as BullMQ's workers do: a marker that was lost costs no more than this


class ServerTime:
    """How far the server's clock is from our monotonic one, as of the last answer."""

    def __init__(self) -> None:
        """Begin without knowing."""
        self._offset_ms: float | None = None

    def set(self, server_ms: int) -> None:
        """Note what the server's clock says now."""
        self._offset_ms = server_ms - asyncio.get_running_loop().time() * 1000

    def until(self, server_ms: int) -> float:
        """Return how many seconds it is until a time of the server's."""
        if self._offset_ms is None:
            return 0.0
        now = asyncio.get_running_loop().time()
        return (server_ms - self._offset_ms) / 1000 - now


class Watch:
    """Watches one queue's marker while somebody waits.

    Attributes:
        server_ms: The time of the server that has the queue.
    """

    def __init__(self, connections: Connections, queue: QueueRef) -> None:
        """Prepare.

        Args:
            connections: For the blocking call, and to put markers back.
            queue: The queue.
        """
        self._connections = connections
        self._queue = queue
        self._waiting: set[asyncio.Future[None]] = set()
        self._task: asyncio.Task[None] | None = None
        self._wire: Wire | None = None
        self._connecting: asyncio.Task[Wire] | None = None
        self._name = client_name(queue, "toril")
        self._missed = False
        self._held: asyncio.TimerHandle | None = None
        self._giving: asyncio.Task[None] | None = None
        self._alarm: asyncio.TimerHandle | None = None
        self.server_ms = ServerTime()

    def announce(self, worker: str) -> None:
        """Let Node.js find a worker, which may have no reason to wait for long.

        Args:
            worker: Its id; the first one counts.
        """
        if self._wire is None and self._connecting is None:
            self._name = client_name(self._queue, worker)
            self._connecting = asyncio.create_task(self._connect())

    async def wait(self, timeout: float | None) -> None:
        """Return when there may be work, or after a time.

        Args:
            timeout: The time in seconds; None is without end.

        Raises:
            EngineError: The store failed.
        """
        if self._missed or self._held is not None:
            self._missed = False
            self._let_go_marker()
            return
        future = asyncio.get_running_loop().create_future()
        self._waiting.add(future)
        if self._task is None:
            self._task = asyncio.create_task(self._watch())
        try:
            async with asyncio.timeout(timeout):
                await future
        except TimeoutError:
            if future.done() and not future.cancelled():
                future.result()
        except asyncio.CancelledError:
            # It was told, and hears of something else first: the next to wait is told at once.
            if future.done() and not future.cancelled():
                self._missed = True
            raise
        finally:
            self._waiting.discard(future)

    def tell_of_add(self) -> None:
        """Let who waits ask as soon as the add that begins now has been sent.

        The fetch goes behind it on the same connection, and Redis carries both out in one go:
        a job that is added where an idle worker is starts a round trip earlier.
        """
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._tell)

    async def close(self) -> None:
        """Stop watching, and let go who waits."""
        self._tell()
        if self._held is not None:
            self._let_go_marker()
            await self._put_back("0", "0")
        if self._alarm is not None:
            self._alarm.cancel()
        tasks = [task for task in (self._task, self._connecting) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._wire is not None:
            await self._wire.close()

    async def _watch(self) -> None:
        try:
            while self._waiting:
                await self._look()
        except EngineError as error:
            waiting, self._waiting = self._waiting, set()
            for future in waiting:
                if not future.done():
                    future.set_exception(type(error)(*error.args))
        finally:
            self._task = None

    async def _open(self) -> Wire:
        if self._connecting is not None:
            connecting, self._connecting = self._connecting, None
            self._wire = await connecting
        if self._wire is None or not self._wire.is_open:
            self._wire = await self._connect()
        return self._wire

    async def _connect(self) -> Wire:
        return await self._connections.another(self._name, self._queue, _BLOCK_SECONDS)

    async def _look(self) -> None:
        wire = await self._open()
        marker = keys_of(self._queue).marker
        try:
            found = await wire.call("BZPOPMIN", marker, _BLOCK_SECONDS)
        except EngineError as error:
            wire.abort(str(error))  # the queue may be elsewhere now
            raise
        if found is None:
            self._tell()
            return
        _, member, score = found
        due = float(score)
        if member == "1" and due > 0:
            seconds, micros = await wire.call("TIME")
            left = due / 1000 - (int(seconds) + int(micros) / 1_000_000)
            if left > 0:
                self._tell_in(left)
                return
        if not self._tell():
            self._let_go_marker()
            loop = asyncio.get_running_loop()
            self._held = loop.call_later(_HELD_SECONDS, self._give_back, member, score)

    def _let_go_marker(self) -> None:
        if self._held is not None:
            self._held.cancel()
            self._held = None

    def _give_back(self, member: str, score: str) -> None:
        """Put a marker back that nobody here has use for."""
        self._held = None
        self._giving = asyncio.create_task(self._put_back(member, score))

    async def _put_back(self, member: str, score: str) -> None:
        marker = keys_of(self._queue).marker
        try:
            await self._connections.call("ZADD", marker, score, member)
        except EngineError as error:
            _logger.debug("%s: a marker was not put back: %s", self._queue, error)

    def _tell_in(self, seconds: float) -> None:
        """Let go who waits then, unless that is to happen earlier."""
        loop = asyncio.get_running_loop()
        when = loop.time() + seconds
        if self._alarm is not None:
            if loop.time() < self._alarm.when() <= when:
                return
            self._alarm.cancel()
        self._alarm = loop.call_at(when, self._tell)

    def _tell(self) -> bool:
        """Let go who waits; return whether anybody did."""
        waiting, self._waiting = self._waiting, set()
        told = False
        for future in waiting:
            if not future.done():
                future.set_result(None)
                told = True
        return told
