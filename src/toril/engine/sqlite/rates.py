"""Rate limits: fixed windows and token buckets.

If the clock was set back, the stored times are too far in the future. They are ignored, so that no
limit holds jobs back for longer than it could by the clock as it is now.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from toril.engine.contract.rules import CLOCK_SLACK_MS
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
        if _is_over(limit, meter, now):
            return limit.max, now + limit.per_ms
        return max(limit.max - meter.started, 0), meter.until
    step = limit.per_ms / limit.max
    full_at = _full_at(limit, meter, now) / _MICROS
    # The 1e-3 makes up for rounding: a token that is short by less than that counts as whole.
    left = max(math.floor(limit.burst - (full_at - now) / step + 1e-3), 0)
    return left, math.ceil(full_at - (limit.burst - left - 1) * step - 1e-3)


def spend(limit: RateLimit, meter: Meter, n: int, now: int) -> Meter:
    """Return the meter after `n` jobs have started."""
    if limit.burst is None:
        if _is_over(limit, meter, now):
            return Meter(n, now + limit.per_ms)
        return Meter(meter.started + n, meter.until)
    full_at = _full_at(limit, meter, now) + n * limit.per_ms * _MICROS / limit.max
    return Meter(0, round(full_at))


def longest_ms(limit: RateLimit) -> int:
    """Return how long after now a meter's time can be at most, in milliseconds."""
    return limit.per_ms if limit.burst is None else -(-limit.per_ms * limit.burst // limit.max)


def _is_over(limit: RateLimit, meter: Meter, now: int) -> bool:
    """Return whether a meter's time is over, or is of before the clock was set back."""
    until = meter.until if limit.burst is None else meter.until / _MICROS
    return not now < until <= now + longest_ms(limit) + CLOCK_SLACK_MS


def _full_at(limit: RateLimit, meter: Meter, now: int) -> int:
    """Return when a bucket is full again, in microseconds since 1970."""
    return now * _MICROS if _is_over(limit, meter, now) else meter.until
