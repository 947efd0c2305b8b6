"""What a queue did over a period, as counted by the engines."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

BUCKET = "bucket:"
"""The prefix of a histogram bucket's counter; the bucket's number follows."""


class MetricsWindow(msgspec.Struct, frozen=True):
    """What a queue did over a period.

    Attributes:
        seconds: The length of the period.
        completed: Jobs that completed.
        failed: Jobs that failed for good.
        retried: Attempts that failed and were followed by another.
        stalled: Jobs rescued from workers that died.
        duration_ms_sum: The sum of the durations of the attempts that ended.
        histogram: Attempts by duration: bucket b counts those that took 2^(b-1) to 2^b - 1 ms.
    """

    seconds: float
    completed: int
    failed: int
    retried: int
    stalled: int
    duration_ms_sum: int
    histogram: Mapping[int, int]

    @classmethod
    def of(cls, counters: Mapping[str, int], window_ms: int) -> MetricsWindow:
        """Build a window from an engine's counters, which are named after the attributes.

        Args:
            counters: The sums. Durations are summed in `duration_ms`; bucket b is counted in
                `bucket:<b>`.
            window_ms: The length of the period.
        """
        return cls(
            seconds=window_ms / 1000,
            completed=counters.get("completed", 0),
            failed=counters.get("failed", 0),
            retried=counters.get("retried", 0),
            stalled=counters.get("stalled", 0),
            duration_ms_sum=counters.get("duration_ms", 0),
            histogram={
                int(name.removeprefix(BUCKET)): total
                for name, total in counters.items()
                if name.startswith(BUCKET)
            },
        )
