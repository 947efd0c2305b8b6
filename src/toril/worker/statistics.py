"""What a worker did, for the line that it prints now and then."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Statistics:
    """Counters since the worker started.

    Attributes:
        completed: Jobs done.
        failed: Jobs that failed for good.
        retried: Attempts that failed and will be followed by another.
        released: Jobs given back without using up an attempt.
        lost: Jobs whose lease ran out here.
    """

    completed: int = 0
    failed: int = 0
    retried: int = 0
    released: int = 0
    lost: int = 0

    @property
    def ended(self) -> int:
        """Attempts that ended, whatever in."""
        return self.completed + self.failed + self.retried
