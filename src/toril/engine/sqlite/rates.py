"""Rate limits: fixed windows and token buckets."""

from __future__ import annotations

import math
from typing import NamedTuple

from toril.model.limits import RateLimit

_MICROS = 1000  # in a millisecond


class Meter(NamedTuple):
    """How much of a rate limit is used.

    Attributes:
        started: For a window, how many jobs have started in it; for a bucket, always 0.
        until: For a window, when it ends, in milliseconds; for a bucket, when it is full again,
            in microseconds. Both since 1970.
    """

    started: int
    until: int


UNUSED = Meter(0, 0)


def left_of(limit: RateLimit, meter: Meter, now: int) -> tuple[int, int]:
    """Return how many jobs may start now, and when one more than those may start.

    Args:
        limit: The limit.
        meter: How much of it is used.
        now: The current time, in milliseconds since 1970, like the time that is returned.
    """
    if limit.burst is None:
        if meter.until <= now:
            return limit.max, now + limit.per_ms
        return max(limit.max - meter.started, 0), meter.until
    step = limit.per_ms / limit.max
    full_at = max(meter.until / _MICROS, now)
    # The 1e-3 makes up for rounding: a token that is short by less than that counts as whole.
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
