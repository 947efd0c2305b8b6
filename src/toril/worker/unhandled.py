"""Jobs for which this worker has no handler, while another worker may have one."""

from __future__ import annotations

import logging
from collections import Counter

from toril.model.job import Lease
from toril.model.outcome import Discarded, ErrorKind, Outcome, Released
from toril.worker.failures import error_of
from toril.worker.handlers import Routes
from toril.worker.idle import BURST_HORIZON_MS

_logger = logging.getLogger("toril.worker")

_FIRST_DELAY_MS = 1_000
_LONGEST_DELAY_MS = 60_000


class Unhandled:
    """Lets jobs without a handler wait for a worker that has one, as during a rolling deploy.

    Each time the job is released it waits longer. It uses up no attempt, and it fails only when it
    has waited as long as allowed.

    Attributes:
        by_name: How many times a job of each name was released.
    """

    def __init__(self, wait_ms: int, *, burst: bool) -> None:
        """Prepare.

        Args:
            wait_ms: How long a job may wait in all, in milliseconds.
            burst: Whether the worker stops when no work is left: then a job waits long enough for
                the worker not to wait for it.
        """
        self._wait_ms = wait_ms
        self._burst = burst
        self.by_name: Counter[str] = Counter()

    def outcome(self, lease: Lease, routes: Routes) -> Outcome:
        """Return what becomes of a job that has no handler in this worker."""
        times = max(lease.attempts_started - lease.attempts_made - lease.stalls - 1, 0)
        if _waited_ms(times) >= self._wait_ms:
            waited = f", and none came within {self._wait_ms / 1000:g} s" if self._wait_ms else ""
            message = f"{routes.missing(lease)}{waited}"
            return Discarded(error_of(lease, ErrorKind.NO_HANDLER, message))
        delay = min(_FIRST_DELAY_MS << min(times, 10), _LONGEST_DELAY_MS)
        if self._burst:
            delay = max(delay, BURST_HORIZON_MS + _FIRST_DELAY_MS)
        if lease.name not in self.by_name:
            _logger.warning("%s; its jobs wait for a worker that has one", routes.missing(lease))
        self.by_name[lease.name] += 1
        return Released(delay)


def _waited_ms(times: int) -> int:
    """Return how long a job has waited that was released so many times."""
    doubling = min(times, 6)  # then the delay is the longest one
    return _FIRST_DELAY_MS * ((1 << doubling) - 1) + _LONGEST_DELAY_MS * (times - doubling)
