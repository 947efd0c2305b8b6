"""Keeping a job that stalled too often from taking other jobs along."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from toril.model.job import Lease
from toril.worker.attempt import Attempt
from toril.worker.slots import Slots

_ASIDE_MS = 1_000


class LastChance:
    """Runs jobs on their last chance one at a time in a worker.

    Nobody knows which of the jobs that were lost together killed their worker. So a worker runs
    one of those on their last chance at a time, and gives the others back before it starts it:
    the next worker that dies tells which one it was.
    """

    def __init__(
        self,
        slots: Slots,
        stalls: int,
        *,
        begin: Callable[[Sequence[Attempt]], None],
        give_back: Callable[[Attempt, int], None],
    ) -> None:
        """Prepare.

        Args:
            slots: The worker's slots.
            stalls: How often a job has stalled that is on its last chance.
            begin: Starts attempts.
            give_back: Releases an attempt's job, to wait for that many milliseconds.
        """
        self._slots = slots
        self._stalls = stalls
        self._begin = begin
        self._give_back = give_back

    def applies_to(self, lease: Lease) -> bool:
        """Whether a job is on its last chance."""
        return lease.stalls >= self._stalls and lease.deferred_failure is None

    def set_aside(self, attempt: Attempt) -> None:
        """Keep an attempt for later, or give it back if another one is kept already."""
        if self._slots.suspect is None:
            self._slots.suspect = attempt
        else:
            self._give_back(attempt, _ASIDE_MS)

    def start_suspect(self, attempt: Attempt) -> None:
        """Start the attempt that was set aside, unless it has been started."""
        if not attempt.begun:
            self._begin([attempt])

    def ended(self, attempt: Attempt) -> None:
        """Let another job have its last chance, if this attempt was one."""
        if self._slots.suspect is attempt:
            self._slots.suspect = None
