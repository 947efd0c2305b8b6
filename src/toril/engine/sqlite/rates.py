"""Rates: a fixed window, or a token bucket."""

from __future__ import annotations

import math
from typing import NamedTuple

from toril.model.limits import RateLimit

_MICROS = 1000  # in a millisecond


class Meter(NamedTuple):
    """What has been spent.

    Attributes:
        started: The jobs that started in the running window; of a bucket always 0.
        until: When the window ends, in milliseconds; of a bucket when it is full again, in
            microseconds.
    """

    started: int
    until: int


UNUSED = Meter(0, 0)


def left_of(limit: RateLimit, meter: Meter, now: int) -> tuple[int, int]:
    """Return how many jobs may start now, and when there is room for one more than those.

    Args:
        limit: The limit.
        meter: What has been spent.
        now: The time, in milliseconds; so is what is returned.
    """
    if limit.burst is None:
        if meter.until <= now:
            return limit.max, now + limit.per_ms
        return max(limit.max - meter.started, 0), meter.until
    step = limit.per_ms / limit.max
    full_at = max(meter.until / _MICROS, now)
    # What is a hair short of a whole job by rounding is one.
    left = max(math.floor(limit.burst - (full_at - now) / step + 1e-3), 0)
    return left, math.ceil(full_at - (limit.burst - left - 1) * step - 1e-3)


def spend(limit: RateLimit, meter: Meter, n: int, now: int) -> Meter:
    """Return the meter after `n` jobs have started."""
    if limit.burst is None:
        if meter.until <= now:
            return Meter(n, now + limit.per_ms)
        return Meter(meter.started + n, meter.until)
    full_at = max(meter.until, now * _MICROS) + n * limit.per_ms * _MICROS / limit.max
    return Meter(0, round(full_at))
