"""Deadlines for many attempts on a single timer."""

from __future__ import annotations

import asyncio
import heapq
import math
from collections.abc import Callable

_TICK = 0.02  # seconds; the precision of deadlines


class Deadlines:
    """A timer wheel, so that attempts do not need a timer each."""

    def __init__(self) -> None:
        """Create an empty timer wheel."""
        self._ticks: list[int] = []
        self._due: dict[int, dict[int, Callable[[], None]]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._numbers = 0

    def add(self, seconds: float, call: Callable[[], None]) -> tuple[int, int]:
        """Call a function after a delay, unless the deadline is discarded first.

        Args:
            seconds: The delay.
            call: The function.

        Returns:
            The deadline, to pass to `discard`.
        """
        loop = asyncio.get_running_loop()
        tick = math.ceil((loop.time() + seconds) / _TICK)
        self._numbers += 1
        if tick not in self._due:
            self._due[tick] = {}
            heapq.heappush(self._ticks, tick)
            if self._ticks[0] == tick:
                self._set_timer(loop)
        self._due[tick][self._numbers] = call
        return tick, self._numbers

    def discard(self, deadline: tuple[int, int]) -> None:
        """Remove a deadline; does nothing if it has already passed."""
        tick, number = deadline
        if tick in self._due:
            self._due[tick].pop(number, None)

    def close(self) -> None:
        """Remove all deadlines."""
        if self._timer is not None:
            self._timer.cancel()
        self._due.clear()
        self._ticks.clear()

    def _set_timer(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = loop.call_at(self._ticks[0] * _TICK, self._on_timer)

    def _on_timer(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = None
        while self._ticks and self._ticks[0] * _TICK <= loop.time() + _TICK / 2:
            for call in self._due.pop(heapq.heappop(self._ticks)).values():
                loop.call_soon(call)  # separately, so that an error does not affect the others
        if self._ticks:
            self._set_timer(loop)
