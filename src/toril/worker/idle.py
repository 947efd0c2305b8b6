"""Waits for work, and backs off while the store fails."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

from toril.clock import Clock
from toril.engine.contract.engine import Engine
from toril.engine.contract.hot_path import Exchange, WakeToken
from toril.errors import EngineError
from toril.model.job import QueueRef
from toril.printable import logger

_logger = logger("toril.worker")

_FIRST_PAUSE = 0.05  # seconds, after a failed exchange
_LONGEST_PAUSE = 3.0  # seconds; even after hours, a store that is back is used within 5 seconds
BURST_HORIZON_MS = 60_000


class Idle:
    """Waits for work on behalf of a pump, and pauses it while the store fails.

    Attributes:
        is_idle: Whether the last fetch returned fewer jobs than requested, with no change since.
        is_resting: Whether the pump pauses because the store failed a moment ago.
    """

    def __init__(
        self, engine: Engine, queue: QueueRef, clock: Clock, changed: Callable[[], None]
    ) -> None:
        """Create the idle state of one pump.

        Args:
            engine: Talks to the store.
            queue: The queue.
            clock: Approximates the store's time.
            changed: Called when the pump should check for work again.
        """
        self._engine = engine
        self._queue = queue
        self._clock = clock
        self._changed = changed
        self._next_due: int | None = None
        self._waiter: asyncio.Task[None] | None = None
        self._pause = 0.0
        self.is_idle = False
        self.is_resting = False

    @property
    def has_work_soon(self) -> bool:
        """Whether there may be work now, or a job is due within the burst horizon."""
        soon = self._clock.wall_ms() + BURST_HORIZON_MS
        return not self.is_idle or (self._next_due is not None and self._next_due <= soon)

    def answered(self, answer: Exchange, room: int, *, may_wait: bool) -> None:
        """Start to wait for work if an exchange returned fewer jobs than requested.

        Args:
            answer: The store's answer to the exchange.
            room: How many jobs were requested.
            may_wait: Whether the pump will fetch again.
        """
        self.is_idle = len(answer.leases) < room
        if not self.is_idle:
            return
        self._next_due = answer.next_due
        until = min(
            (t for t in (answer.next_due, answer.limited_until) if t is not None), default=None
        )
        self.stop()
        if may_wait:
            self._waiter = asyncio.create_task(self._wait(until, answer.token))

    async def _wait(self, until: int | None, token: WakeToken) -> None:
        try:
            await self._engine.wait(self._queue, until, token)
        except EngineError as error:
            await self.rest(error)
        self.is_idle = False
        self._changed()

    def recovered(self) -> None:
        """Reset the pause, because the store works again."""
        self._pause = 0.0

    async def rest(self, error: EngineError) -> None:
        """Pause after a store error, longer each time it fails in a row."""
        self.is_resting = True
        self._changed()
        try:
            self._pause = min(max(self._pause * 2, _FIRST_PAUSE), _LONGEST_PAUSE)
            _logger.warning("%s: %s; retrying in %.1f s", self._queue, error, self._pause)
            await asyncio.sleep(self._pause * (0.5 + random.random() / 2))  # noqa: S311 - not a secret
        finally:
            self.is_resting = False
            self._changed()

    def stop(self) -> None:
        """Stop waiting for work."""
        if self._waiter is not None:
            self._waiter.cancel()
