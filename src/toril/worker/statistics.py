"""Counters of what a worker has done, for its periodic log message."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Statistics:
    """Counters since the worker started.

    Attributes:
        completed: Jobs that completed.
        failed: Jobs that failed for good.
        retried: Failed attempts that will be retried.
        released: Jobs that were released without using an attempt.
        lost: Jobs that lost their lease.
    """

    completed: int = 0
    failed: int = 0
    retried: int = 0
    released: int = 0
    lost: int = 0

    @property
    def ended(self) -> int:
        """Attempts that completed, failed, or will be retried."""
        return self.completed + self.failed + self.retried
