"""Deadlines of many attempts on one timer."""

from __future__ import annotations

import asyncio
import heapq
import math
from collections.abc import Callable

_TICK = 0.02  # seconds; deadlines are kept to within this


class Deadlines:
    """A timer wheel: attempts that end in time are forgotten without a timer each."""

    def __init__(self) -> None:
        """Begin with none."""
        self._ticks: list[int] = []
        self._due: dict[int, dict[int, Callable[[], None]]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._numbers = 0

    def add(self, seconds: float, call: Callable[[], None]) -> tuple[int, int]:
        """Call a function after a time, unless it is discarded before.

        Args:
            seconds: The time.
            call: The function.

        Returns:
            What `discard` takes.
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
        """Forget a deadline; one that is over is forgotten already."""
        tick, number = deadline
        if tick in self._due:
            self._due[tick].pop(number, None)

    def close(self) -> None:
        """Forget all."""
        if self._timer is not None:
            self._timer.cancel()
        self._due.clear()
        self._ticks.clear()

    def _set_timer(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = loop.call_at(self._ticks[0] * _TICK, self._ring)

    def _ring(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = None
        while self._ticks and self._ticks[0] * _TICK <= loop.time() + _TICK / 2:
            for call in self._due.pop(heapq.heappop(self._ticks)).values():
                loop.call_soon(call)  # one that fails does not take the others along
        if self._ticks:
            self._set_timer(loop)
