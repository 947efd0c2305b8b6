"""What an engine holds on one event loop."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress

from toril.engine.redis import queues
from toril.engine.redis.connection.connections import connections_to
from toril.engine.redis.connection.errors import is_elsewhere
from toril.engine.redis.connection.target import Place
from toril.engine.redis.connection.wire import Wire
from toril.engine.redis.hot_path.marker import Watch
from toril.engine.redis.scripts.keys import client_name, keys_of
from toril.errors import EngineError
from toril.model.job import QueueRef

_logger = logging.getLogger("toril.engine")

_LATE_SECONDS = 0.5  # after which a wait that the server should have ended is given up


class Home:
    """Connections and waits of one event loop.

    Attributes:
        connections: The connections.
        known: Queues that were made visible.
    """

    def __init__(self, place: Place) -> None:
        """Prepare.

        Args:
            place: Where the jobs are.
        """
        self.connections = connections_to(place)
        self.known: set[QueueRef] = set()
        self._calls = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._watches: dict[QueueRef, Watch] = {}
        self._sorting: dict[QueueRef, asyncio.Task[None]] = {}
        self._followers: dict[QueueRef, list[Wire]] = {}

    async def begin(self, queue: QueueRef) -> None:
        """Begin a call that is to end before the connections are closed; `end` ends it.

        Args:
            queue: The queue that it is about; it is made visible.
        """
        self._calls += 1
        self._idle.clear()
        if queue in self.known:
            return
        try:
            await queues.register(self.connections, queue)
        except BaseException:
            self.end()
            raise
        self.known.add(queue)

    def forget(self, queue: QueueRef) -> None:
        """Make a queue visible anew with the next call: it was gone."""
        if queue in self.known:
            self.known.discard(queue)
            _logger.warning(
                "queue %s was not there any more: it was obliterated, or Redis lost its data. "
                "Limits that it had are gone until it is registered again",
                queue,
            )

    def end(self) -> None:
        """End a call."""
        self._calls -= 1
        if not self._calls:
            self._idle.set()

    def tell_of_add(self, queue: QueueRef) -> None:
        """Let an idle worker here ask for what is being added."""
        watch = self._watches.get(queue)
        if watch is not None:
            watch.tell_of_add()

    def watch(self, queue: QueueRef) -> Watch:
        """Return what watches a queue's marker."""
        watch = self._watches.get(queue)
        if watch is None:
            watch = self._watches[queue] = Watch(self.connections, queue)
        return watch

    def sort(self, queue: QueueRef) -> None:
        """Put a queue's jobs in the lanes of their keys, until all are there.

        An exchange puts a part of them there, and a key whose jobs come after a hundred
        thousand of another's is not to wait for so many exchanges.
        """
        if queue not in self._sorting:
            task = self._sorting[queue] = asyncio.create_task(self._sort(queue))
            task.add_done_callback(lambda _: self._sorting.pop(queue, None))

    async def _sort(self, queue: QueueRef) -> None:
        with suppress(EngineError):  # the next exchange asks for it again
            while await self.connections.run("sort", queue):
                pass

    async def wait_event(self, queue: QueueRef, cursor: str, timeout: float) -> None:
        """Return when something happened after a cursor, or after `timeout` seconds."""
        idle = self._followers.setdefault(queue, [])
        idle[:] = [wire for wire in idle if wire.is_open]
        name = client_name(queue) + ":qe"
        wire = idle.pop() if idle else await self.connections.another(name, queue)
        block = max(int(timeout * 1000), 1)
        try:
            async with asyncio.timeout(timeout + _LATE_SECONDS):
                await wire.call("XREAD", "BLOCK", block, "STREAMS", keys_of(queue).events, cursor)
        except TimeoutError:  # or the connection was lost: who looks at the events connects anew
            wire.abort("the server did not end a wait")
        except EngineError as error:
            wire.abort(str(error))
            if not is_elsewhere(error):
                raise
        except asyncio.CancelledError:
            wire.abort("nobody waits for its reply any more")
            raise
        else:
            idle.append(wire)

    async def close(self) -> None:
        """Let go of everything, once the calls that are under way have ended."""
        await self._idle.wait()
        sorting = list(self._sorting.values())
        for task in sorting:
            task.cancel()
        await asyncio.gather(*sorting, return_exceptions=True)
        for watch in self._watches.values():
            await watch.close()
        self._watches.clear()
        await self.connections.close()
