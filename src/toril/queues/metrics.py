"""Metrics of a queue: counts, rates and durations."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from toril.engine.contract.queues import QueueOverview
from toril.model.durations import Duration, to_ms
from toril.model.state import JobState

DEFAULT_WINDOW = 3600.0
"""The default length of the time window, in seconds."""


class QueueMetrics(msgspec.Struct, frozen=True, kw_only=True):
    """A queue's metrics: job counts now, and rates and durations over a time window.

    Attributes:
        queue: The queue's name.
        prefix: The queue's prefix.
        paused: Whether the queue is paused.
        waiting: How many jobs are waiting.
        prioritized: How many jobs are ready and have a priority.
        delayed: How many jobs are delayed.
        waiting_children: How many jobs wait for their children.
        active: How many jobs are running.
        completed: How many completed jobs are stored.
        failed: How many failed jobs are stored.
        window: The length of the window, in seconds. All following values refer to the window.
        stalled: How many jobs were rescued from workers that died.
        retried: How many failed attempts were retried.
        throughput: Finished jobs per second.
        error_rate: The share of finished jobs that failed, from 0 to 1.
        mean_ms: The mean duration of an attempt, in milliseconds; None if there were no attempts.
        p50_ms: The duration that 50 % of attempts stayed below, in milliseconds; None if there
            were no attempts.
        p95_ms: The same for 95 %.
        p99_ms: The same for 99 %.
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
        """How many jobs are ready to run."""
        return self.waiting + self.prioritized


def window_to_ms(window: Duration) -> int:
    """Convert a window to milliseconds: at least a minute, because counters are per minute."""
    return max(to_ms(window, "window"), 60_000)


def summarize(overview: QueueOverview) -> QueueMetrics:
    """Compute a queue's metrics.

    Args:
        overview: The engine's overview of the queue.
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

    Attempts are assumed to be spread evenly within a bucket, so the result is accurate to within
    a bucket, which is a factor of two.

    Args:
        histogram: Bucket b counts durations of 2^(b-1) to 2^b - 1 ms; bucket 0 counts 0 ms.
        share: The share, from 0 to 1.
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
