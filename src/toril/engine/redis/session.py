"""The state that an engine holds per event loop, because connections belong to a loop."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from types import TracebackType
from typing import Any
from weakref import WeakKeyDictionary

from toril.engine.contract.rules import is_closed
from toril.engine.redis.connection.connections import connections_to
from toril.engine.redis.connection.target import Target
from toril.engine.redis.follower import Followers
from toril.engine.redis.hot_path.marker import Listeners
from toril.engine.redis.registration import Registrations, show
from toril.errors import EngineError
from toril.forks import leave_behind, warn_of_fork
from toril.model.job import QueueRef
from toril.printable import logger

_logger = logger("toril.engine")


class _Calls:
    """Counts the calls in progress: `with calls:` counts one."""

    __slots__ = ("_idle", "_number")

    def __init__(self) -> None:
        self._number = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def __enter__(self) -> None:
        self._number += 1
        self._idle.clear()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._number -= 1
        if not self._number:
            self._idle.set()

    async def ended(self) -> None:
        """Return once no call is in progress."""
        await self._idle.wait()


class Session:
    """The connections and waits of one event loop.

    Attributes:
        connections: The connections.
        calls: Counts the calls that must end before the connections are closed.
        listeners: Wait for work.
        followers: Wait for events.
        registered: Queues that this session knows to be visible.
    """

    def __init__(self, target: Target, registrations: Registrations) -> None:
        """Prepare.

        Args:
            target: The store.
            registrations: The engine's registrations.
        """
        self._registrations = registrations
        self.connections = connections_to(target)
        self.calls = _Calls()
        self.listeners = Listeners(self.connections)
        self.followers = Followers(self.connections, target.location)
        self.registered: set[QueueRef] = set()
        self._sorting: dict[QueueRef, asyncio.Task[None]] = {}

    async def run(self, script: str, queue: QueueRef, *args: Any) -> Any:
        """Run a script on a queue; see `Connections.run`."""
        return await self.connections.run(script, queue, *args)

    async def ensure_registered(self, queue: QueueRef) -> None:
        """Make a queue visible, unless this session has done so before."""
        if queue not in self.registered:
            await self._registrations.store(self.connections, queue)
            self.registered.add(queue)

    async def ensure_visible(self, queue: QueueRef) -> None:
        """Like `ensure_registered`, for a call that adds jobs.

        A removed queue whose limits are not known here is left to the workers that know them.
        """
        if queue in self._registrations.lost and queue not in self._registrations.limits:
            await show(self.connections, queue)
            self.registered.add(queue)
        else:
            await self.ensure_registered(queue)

    async def register_again(self, queue: QueueRef) -> None:
        """Store a queue again that was removed, by `obliterate` or because Redis lost its data."""
        if queue in self.registered:
            self.registered.discard(queue)
            _logger.warning(
                "queue %s no longer existed: it was obliterated, or Redis lost its data. It is "
                "registered again, with its limits",
                queue,
            )
        self._registrations.lost.add(queue)
        with suppress(EngineError):  # the next call tries again
            await self.ensure_registered(queue)

    def announce_add(self, queue: QueueRef) -> None:
        """Let an idle worker on this loop fetch the jobs that are being added."""
        marker = self.listeners.find(queue)
        if marker is not None:
            marker.announce_add()

    def sort(self, queue: QueueRef) -> None:
        """Sort all of a queue's ready jobs into the lanes of their keys, in the background.

        One exchange sorts only some of them. A key whose jobs follow a hundred thousand jobs of
        another key would otherwise wait for many exchanges.
        """
        if queue not in self._sorting:
            task = self._sorting[queue] = asyncio.create_task(self._sort(queue))
            task.add_done_callback(lambda _: self._sorting.pop(queue, None))

    async def _sort(self, queue: QueueRef) -> None:
        with suppress(EngineError):  # the next exchange requests it again
            while await self.run("sort", queue):
                pass

    async def close(self) -> None:
        """Close everything, after the calls in progress have ended."""
        await self.calls.ended()
        sorting = list(self._sorting.values())
        for task in sorting:
            task.cancel()
        await asyncio.gather(*sorting, return_exceptions=True)
        await self.listeners.close()
        await self.followers.close()
        await self.connections.close()


class Sessions:
    """The sessions of one engine, one per event loop: the sync facade has a loop of its own.

    Attributes:
        target: The store.
        registrations: The limits that this engine registered.
    """

    def __init__(self, target: Target) -> None:
        """Prepare.

        Args:
            target: The store.
        """
        self.target = target
        self.registrations = Registrations()
        self._by_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, Session] = WeakKeyDictionary()
        self._closed = False
        self._has_forked = False

    def current(self) -> Session:
        """Return the running loop's session.

        Raises:
            StoreUnavailableError: The engine is closed.
        """
        if self._closed:
            raise is_closed(self.target.location)
        loop = asyncio.get_running_loop()
        session = self._by_loop.get(loop)
        if session is None:
            session = self._by_loop[loop] = Session(self.target, self.registrations)
            if self._has_forked:
                self._has_forked = False
                warn_of_fork(self.target.location)
        return session

    def forget(self, queue: QueueRef) -> None:
        """Register a queue again with the next call on any loop, because it was removed."""
        self.registrations.lost.add(queue)
        for session in list(self._by_loop.values()):
            session.registered.discard(queue)

    def start_over(self) -> None:
        """Forget all sessions in a forked child, without closing the parent's connections."""
        if self._by_loop:
            self._has_forked = True
            leave_behind(list(self._by_loop.items()))
            self._by_loop = WeakKeyDictionary()

    async def open(self) -> None:
        """Connect; also reopens a closed engine."""
        self._closed = False
        await self.current().connections.open()

    async def close(self) -> None:
        """Close the sessions of all running loops."""
        self._closed = True
        here = asyncio.get_running_loop()
        for loop, session in list(self._by_loop.items()):
            if loop is here:
                del self._by_loop[loop]
                await session.close()
            elif loop.is_running():
                del self._by_loop[loop]
                ended = asyncio.run_coroutine_threadsafe(session.close(), loop)
                await asyncio.wrap_future(ended)
            # A loop that is not running closes its session when it runs again.
