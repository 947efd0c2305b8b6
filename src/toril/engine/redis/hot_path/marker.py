"""Waiting for work: a few blocking calls for any number of queues and waiters.

The first client that sees BullMQ's marker removes it. If a marker arrives when its queue has no
waiter here, it is held for a moment and then put back for other clients. A marker for a later
time sets a timer. Local adds wake waiters directly.

Node.js finds workers by the name of their connection, and a connection has only one name. So
while there are few queues each gets its own connection; further queues share one.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import defaultdict
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from typing import Any

from toril.engine.redis.connection.connections import Connections
from toril.engine.redis.connection.wire import Wire
from toril.engine.redis.scripts.keys import client_name, keys_of
from toril.errors import EngineError
from toril.model.job import QueueRef
from toril.printable import logger

_logger = logger("toril.engine")

_HOLD_SECONDS = 0.005  # keeps a marker that arrives just before the next wait
_BLOCK_SECONDS = 5  # as in BullMQ's workers: a lost marker delays work by no more than this
_LONGEST_ALARM = 86_400.0  # seconds; an event loop cannot wait for any time at all
_JOIN_SECONDS = 0.001  # queues that start waiting within this time join a call together
_MAX_LISTENERS = 16  # blocking connections per server, or per hash slot of a cluster
_CLOSE_SECONDS = 1  # for a blocking call to return when the engine closes
_QUEUES_PER_CHECK = 100  # in one call of the has_work script
_WAKE_KEY_MS = 60_000  # how long an unused wake key lives


class ServerTime:
    """The offset between the server's clock and the loop's clock, as of the last answer."""

    def __init__(self) -> None:
        """Start without an offset."""
        self._offset_ms: float | None = None

    def set(self, server_ms: int) -> None:
        """Set the server's current time."""
        self._offset_ms = server_ms - asyncio.get_running_loop().time() * 1000

    def until(self, server_ms: int) -> float:
        """Return how many seconds remain until a server time."""
        if self._offset_ms is None:
            return 0.0
        now = asyncio.get_running_loop().time()
        return (server_ms - self._offset_ms) / 1000 - now


class QueueMarker:
    """One queue's marker and its waiters.

    Attributes:
        queue: The queue.
        server_ms: The time of the queue's server.
    """

    def __init__(self, queue: QueueRef, listener: Listener) -> None:
        """Prepare.

        Args:
            queue: The queue.
            listener: Makes the blocking call.
        """
        self.queue = queue
        self.server_ms = ServerTime()
        self._listener = listener
        self._waiting: set[asyncio.Future[None]] = set()
        self._missed = False
        self._held: asyncio.TimerHandle | None = None
        self._alarm: asyncio.TimerHandle | None = None
        listener.join(self)

    @property
    def is_waited_for(self) -> bool:
        """Whether there are waiters."""
        return bool(self._waiting)

    def announce(self, worker: str) -> None:
        """Let Node.js find a worker now, because a busy worker may not wait for long.

        Args:
            worker: Its id. The first worker announced names the connection.
        """
        self._listener.announce(self.queue, worker)

    async def wait(self, timeout: float | None) -> None:
        """Return when there may be work, or after a timeout.

        Args:
            timeout: In seconds; None waits indefinitely.

        Raises:
            EngineError: The store failed.
        """
        if self._missed or self._held is not None:
            self._missed = False
            self._drop_held()
            return
        future = asyncio.get_running_loop().create_future()
        self._waiting.add(future)
        self._listener.listen_for(self)
        try:
            async with asyncio.timeout(timeout):
                await future
        except TimeoutError:
            if future.done() and not future.cancelled():
                future.result()
        except asyncio.CancelledError:
            # Woken but cancelled before it could fetch: make the next wait return at once.
            if future.done() and not future.cancelled():
                self._missed = True
            raise
        finally:
            self._waiting.discard(future)

    def announce_add(self) -> None:
        """Let waiters fetch as soon as the add that starts now has been sent.

        The fetch follows the add on the same connection, and Redis runs both in one go. A job
        added next to an idle worker starts one round trip earlier.
        """
        if self._waiting:
            asyncio.get_running_loop().call_soon(self.wake)

    def wake(self) -> bool:
        """Wake all waiters; return whether there were any."""
        waiting, self._waiting = self._waiting, set()
        woken = False
        for future in waiting:
            if not future.done():
                future.set_result(None)
                woken = True
        return woken

    def fail(self, error: EngineError) -> None:
        """Raise an error in all waiters."""
        waiting, self._waiting = self._waiting, set()
        for future in waiting:
            if not future.done():
                future.set_exception(type(error)(*error.args))

    def wake_in(self, seconds: float) -> None:
        """Wake waiters after a time, unless an earlier wake-up is already set."""
        loop = asyncio.get_running_loop()
        when = loop.time() + seconds
        if self._alarm is not None:
            if loop.time() < self._alarm.when() <= when:
                return
            self._alarm.cancel()
        self._alarm = loop.call_at(when, self.wake)

    def take(self, member: str, score: str) -> None:
        """Use a marker for work that is ready now; without a waiter, hold it for a moment."""
        if not self.wake():
            self._drop_held()
            loop = asyncio.get_running_loop()
            self._held = loop.call_later(_HOLD_SECONDS, self._give_back, member, score)

    def _drop_held(self) -> None:
        if self._held is not None:
            self._held.cancel()
            self._held = None

    def _give_back(self, member: str, score: str) -> None:
        self._held = None
        _ = self._listener.put_back(self.queue, member, score)

    async def close(self) -> None:
        """Wake all waiters, and put a held marker back."""
        self.wake()
        if self._alarm is not None:
            self._alarm.cancel()
        if self._held is not None:
            self._drop_held()
            await self._listener.put_back(self.queue, "0", "0")


class Listener:
    """A blocking connection that waits for the markers of some queues."""

    def __init__(self, connections: Connections, first: QueueRef) -> None:
        """Prepare.

        Args:
            connections: For the blocking call, and to put markers back.
            first: The queue that the connection is named after.
        """
        self._connections = connections
        self._first = first
        self._name = client_name(first, "toril")
        self._wake_name = secrets.token_hex(6)
        self._wake_key = f"{keys_of(first).own}wake:{self._wake_name}"
        self._queues: dict[str, QueueMarker] = {}  # by the marker's key
        self._listening: frozenset[str] = frozenset()
        self._task: asyncio.Task[None] | None = None
        self._wire: Wire | None = None
        self._connecting: asyncio.Task[Wire] | None = None
        self._joining: asyncio.TimerHandle | None = None
        self._sending: set[asyncio.Task[None]] = set()
        self._has_woken = False

    def __len__(self) -> int:
        return len(self._queues)

    def join(self, marker: QueueMarker) -> None:
        """Add a queue to those that this listener serves."""
        self._queues[keys_of(marker.queue).marker] = marker

    def announce(self, queue: QueueRef, worker: str) -> None:
        """Connect now, under the name by which Node.js finds a queue's worker."""
        if queue == self._first and self._wire is None and self._connecting is None:
            self._name = client_name(queue, worker)
            self._connecting = asyncio.create_task(self._connect())

    def listen_for(self, marker: QueueMarker) -> None:
        """Include a queue in the blocking call."""
        if self._task is None:
            self._task = asyncio.create_task(self._listen())
        elif self._listening and keys_of(marker.queue).marker not in self._listening:
            self._join_soon()

    def _join_soon(self) -> None:
        """End the current blocking call soon; the next one includes all queues with waiters."""
        if self._joining is None:
            loop = asyncio.get_running_loop()
            self._joining = loop.call_later(_JOIN_SECONDS, self._end_call)

    def _end_call(self) -> None:
        self._joining = None
        self._has_woken = True
        _ = self._send(self._connections.run("wake", self._first, self._wake_name, _WAKE_KEY_MS))

    def put_back(self, queue: QueueRef, member: str, score: str) -> asyncio.Task[None]:
        """Put back a marker that has no waiter here."""
        return self._send(self._connections.call("ZADD", keys_of(queue).marker, score, member))

    def _send(self, call: Coroutine[Any, Any, Any]) -> asyncio.Task[None]:
        task = asyncio.create_task(self._try(call))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)
        return task

    async def _try(self, call: Coroutine[Any, Any, Any]) -> None:
        try:
            await call
        except EngineError as error:
            _logger.debug("%s: the marker was not written: %s", self._first, error)

    async def _listen(self) -> None:
        try:
            while any(marker.is_waited_for for marker in self._queues.values()):
                await self._listen_once(await self._open())
        except EngineError as error:
            for marker in self._queues.values():
                marker.fail(error)
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
        return await self._connections.another(self._name, self._first, _BLOCK_SECONDS)

    async def _listen_once(self, wire: Wire) -> None:
        keys = [key for key, marker in self._queues.items() if marker.is_waited_for]
        self._listening = frozenset(keys)
        try:
            # With the key that ends the call, although no other queue may share it yet.
            found = await wire.call("BZPOPMIN", self._wake_key, *keys, _BLOCK_SECONDS)
        except EngineError as error:
            wire.abort(str(error))  # the queues may have moved to another server
            raise
        finally:
            self._listening = frozenset()
        if found is None:
            await self._check_for_work([self._queues[key] for key in keys])
        elif found[0] != self._wake_key:
            await self._use(wire, self._queues[found[0]], *found[1:])

    async def _use(self, wire: Wire, marker: QueueMarker, member: str, score: str) -> None:
        due = float(score)
        if member == "1" and due > 0:
            seconds, micros = await wire.call("TIME")
            left = due / 1000 - (int(seconds) + int(micros) / 1_000_000)
            if left > 0:
                marker.wake_in(min(left, _LONGEST_ALARM))
                return
        marker.take(member, score)

    async def _check_for_work(self, markers: Sequence[QueueMarker]) -> None:
        """Wake the waiters of queues that have work but no marker."""
        for first in range(0, len(markers), _QUEUES_PER_CHECK):
            some = markers[first : first + _QUEUES_PER_CHECK]
            bases = [keys_of(marker.queue).base for marker in some]
            for index in await self._connections.run("has_work", some[0].queue, *bases):
                some[index].wake()

    async def close(self) -> None:
        """Stop listening, and wake all waiters."""
        for marker in self._queues.values():
            marker.wake()
        if self._joining is not None:
            self._joining.cancel()
        if self._task is not None and self._listening:
            # Let the call return: a marker that it has just taken must be put back.
            self._end_call()
            await asyncio.wait([self._task], timeout=_CLOSE_SECONDS)
        for marker in self._queues.values():
            await marker.close()
        tasks = [task for task in (self._task, self._connecting) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, *self._sending, return_exceptions=True)
        if self._wire is not None:
            await self._wire.close()
        if self._has_woken:
            with suppress(EngineError):
                await self._connections.call("DEL", self._wake_key)


class Listeners:
    """The listeners of one event loop, and the markers that they wait for."""

    def __init__(self, connections: Connections) -> None:
        """Prepare.

        Args:
            connections: The connections to the store.
        """
        self._connections = connections
        self._markers: dict[QueueRef, QueueMarker] = {}
        self._by_group: defaultdict[int, list[Listener]] = defaultdict(list)

    def find(self, queue: QueueRef) -> QueueMarker | None:
        """Return a queue's marker if one was created, else None."""
        return self._markers.get(queue)

    def marker(self, queue: QueueRef) -> QueueMarker:
        """Return a queue's marker; create it if needed."""
        marker = self._markers.get(queue)
        if marker is None:
            marker = self._markers[queue] = QueueMarker(queue, self._listener_for(queue))
        return marker

    def _listener_for(self, queue: QueueRef) -> Listener:
        """Return a new listener while there are few, else the one with the fewest queues."""
        listeners = self._by_group[self._connections.group_of(queue)]
        if len(listeners) < _MAX_LISTENERS:
            listeners.append(Listener(self._connections, queue))
            return listeners[-1]
        return min(listeners, key=len)

    async def close(self) -> None:
        """Close all listeners."""
        for listeners in self._by_group.values():
            for listener in listeners:
                await listener.close()
        self._by_group.clear()
        self._markers.clear()
