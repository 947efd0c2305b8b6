"""Time, injected: what is stored and what is measured are different clocks."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Two clocks with different names, so that neither is taken for the other."""

    def wall_ms(self) -> int:
        """Return milliseconds since 1970 (UTC): for what is stored. It may jump."""
        ...

    def monotonic(self) -> float:
        """Return seconds from an arbitrary start: for durations. It never goes back."""
        ...


class SystemClock:
    """The machine's clocks."""

    def wall_ms(self) -> int:
        """Return milliseconds since 1970 (UTC)."""
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        """Return seconds from an arbitrary start."""
        return time.monotonic()
