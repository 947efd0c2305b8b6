"""Waiting for work, and resting while the store fails."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable

from toril.clock import Clock
from toril.engine.contract.engine import Engine
from toril.engine.contract.hot_path import Exchange, WakeToken
from toril.errors import EngineError
from toril.model.job import QueueRef

_logger = logging.getLogger("toril.worker")

_FIRST_PAUSE = 0.05  # seconds, after an exchange that failed
_LONGEST_PAUSE = 3.0  # a store that is back after hours is used within five seconds too
BURST_HORIZON_MS = 60_000


class Idle:
    """What a pump does while it has nothing to fetch.

    Attributes:
        is_idle: The queue had less than was asked for, and nothing has changed since.
        is_resting: The store failed a moment ago.
    """

    def __init__(
        self, engine: Engine, queue: QueueRef, clock: Clock, changed: Callable[[], None]
    ) -> None:
        """Prepare.

        Args:
            engine: Where the jobs are.
            queue: The queue.
            clock: The store's time, about.
            changed: Called when the pump should look again.
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
        """Whether there may be work now, or is some within a burst's horizon."""
        soon = self._clock.wall_ms() + BURST_HORIZON_MS
        return not self.is_idle or (self._next_due is not None and self._next_due <= soon)

    def answered(self, answer: Exchange, room: int, *, may_wait: bool) -> None:
        """Wait for work if less came than was asked for.

        Args:
            answer: The answer.
            room: How many jobs were asked for.
            may_wait: The pump goes on fetching.
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
        """Note that the store works."""
        self._pause = 0.0

    async def rest(self, error: EngineError) -> None:
        """Ask nothing of the store for a while, longer each time."""
        self.is_resting = True
        self._changed()
        try:
            self._pause = min(max(self._pause * 2, _FIRST_PAUSE), _LONGEST_PAUSE)
            _logger.warning("%s: %s; trying again in %.1f s", self._queue, error, self._pause)
            await asyncio.sleep(self._pause * (0.5 + random.random() / 2))  # noqa: S311 - no secret
        finally:
            self.is_resting = False
            self._changed()

    def stop(self) -> None:
        """Wait no longer."""
        if self._waiter is not None:
            self._waiter.cancel()
