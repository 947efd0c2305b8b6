"""What a queue holds and does, in numbers."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from toril.engine.contract.queues import QueueOverview
from toril.model.durations import Duration, to_ms
from toril.model.state import JobState

DEFAULT_WINDOW = 3600.0
"""How far back numbers go unless a caller says otherwise, in seconds."""


class QueueMetrics(msgspec.Struct, frozen=True, kw_only=True):
    """A queue's numbers at one moment, and over the window before it.

    Attributes:
        queue: The queue's name.
        prefix: The bounded context it belongs to.
        paused: Workers take nothing from it.
        waiting: Jobs that wait without a priority; so each of the states.
        window: The length of the window, in seconds.
        stalled: Jobs taken from workers that died, in the window; so all that follow.
        retried: Attempts that failed and were followed by another.
        throughput: Jobs that ended, a second.
        error_rate: The share of the jobs that ended which failed, 0 to 1.
        mean_ms: The mean duration of an attempt, in milliseconds; None without any.
        p50_ms: Half of the attempts were shorter, in milliseconds.
        p95_ms: 95 % were shorter.
        p99_ms: 99 % were shorter.
    """

    queue: str
    prefix: str
    paused: bool
    waiting: int
    prioritized: int
    delayed: int
    waiting_children: int
    active: int
    completed: int
    failed: int
    window: float
    stalled: int
    retried: int
    throughput: float
    error_rate: float
    mean_ms: float | None
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None

    @property
    def ready(self) -> int:
        """Jobs that a worker could take now."""
        return self.waiting + self.prioritized


def window_to_ms(window: Duration) -> int:
    """Return a window in milliseconds: at least a minute, as counters are kept by the minute."""
    return max(to_ms(window, "window"), 60_000)


def summarize(overview: QueueOverview) -> QueueMetrics:
    """Return a queue's numbers.

    Args:
        overview: What the engine tells of it.
    """
    info, counts, window = overview.info, overview.counts, overview.window
    ended = window.completed + window.failed
    attempts = sum(window.histogram.values())
    return QueueMetrics(
        queue=info.ref.name,
        prefix=info.ref.prefix,
        paused=info.paused,
        waiting=counts[JobState.WAITING],
        prioritized=counts[JobState.PRIORITIZED],
        delayed=counts[JobState.DELAYED],
        waiting_children=counts[JobState.WAITING_CHILDREN],
        active=counts[JobState.ACTIVE],
        completed=counts[JobState.COMPLETED],
        failed=counts[JobState.FAILED],
        window=window.seconds,
        stalled=window.stalled,
        retried=window.retried,
        throughput=ended / window.seconds,
        error_rate=window.failed / ended if ended else 0.0,
        mean_ms=window.duration_ms_sum / attempts if attempts else None,
        p50_ms=percentile(window.histogram, 0.50),
        p95_ms=percentile(window.histogram, 0.95),
        p99_ms=percentile(window.histogram, 0.99),
    )


def percentile(histogram: Mapping[int, int], share: float) -> float | None:
    """Return the duration that a share of the attempts stayed below, in milliseconds.

    Within a bucket the attempts are taken to be spread evenly, so the answer is right to
    within the bucket, a factor of two.

    Args:
        histogram: Bucket b counts durations of 2^(b-1) to 2^b - 1 ms; bucket 0 counts 0 ms.
        share: The share, 0 to 1.
    """
    left = share * sum(histogram.values())
    if not left:
        return None
    for bucket, n in sorted(histogram.items()):
        if left <= n:
            low = 0 if bucket == 0 else 2 ** (bucket - 1)
            return low + (2**bucket - low) * left / n if bucket else left / n
        left -= n
    return None
