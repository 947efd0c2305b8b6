"""Injected clocks: wall time for stored timestamps, monotonic time for durations."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """A wall clock and a monotonic clock, with distinct names so they are not confused."""

    def wall_ms(self) -> int:
        """Return milliseconds since 1970 (UTC), for stored timestamps. It may jump."""
        ...

    def monotonic(self) -> float:
        """Return seconds since an arbitrary start, for durations. It never goes back."""
        ...


class SystemClock:
    """The machine's clocks."""

    def wall_ms(self) -> int:
        """Return milliseconds since 1970 (UTC)."""
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        """Return seconds since an arbitrary start."""
        return time.monotonic()
