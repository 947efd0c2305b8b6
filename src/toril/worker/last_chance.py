"""Runs a job that stalled too often in such a way that it harms no other jobs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from toril.worker.attempt import Attempt
from toril.worker.slots import Slots

_RELEASE_DELAY_MS = 1_000


class LastChance:
    """Runs only one job at a time that is on its last chance.

    When a worker dies, it is unknown which of its jobs killed it. A worker therefore runs only one
    last-chance job at a time and releases the others before it starts that one. If the worker dies
    again, this job is the culprit.
    """

    def __init__(
        self,
        slots: Slots,
        stalls: int,
        *,
        begin: Callable[[Sequence[Attempt]], None],
        release: Callable[[Attempt, int], None],
    ) -> None:
        """Create the last-chance rule for one queue.

        Args:
            slots: The worker's slots.
            stalls: The number of stalls from which a job is on its last chance.
            begin: Starts attempts.
            release: Releases an attempt's job with a delay in milliseconds.
        """
        self._slots = slots
        self._stalls = stalls
        self._begin = begin
        self._release = release

    def among(self, attempts: Sequence[Attempt]) -> list[Attempt]:
        """Return the attempts at jobs that are on their last chance."""
        limit = self._stalls
        return [
            attempt
            for attempt in attempts
            if attempt.lease.stalls >= limit and attempt.lease.deferred_failure is None
        ]

    def set_aside(self, attempt: Attempt) -> None:
        """Keep an attempt for later, or release it if another one is already kept."""
        if self._slots.suspect is None:
            self._slots.suspect = attempt
        else:
            self._release(attempt, _RELEASE_DELAY_MS)

    def start_suspect(self, attempt: Attempt) -> None:
        """Start the attempt that was set aside, unless it has already started."""
        if not attempt.dispatched:
            self._begin([attempt])

    def ended(self) -> None:
        """Make room for the next last-chance job."""
        self._slots.suspect = None
