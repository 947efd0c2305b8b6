"""Keeping hold of jobs from a thread of its own, so that no handler can make it late."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable

from toril.clock import Clock
from toril.engine.contract.hot_path import LeaseKeeper
from toril.errors import TorilError
from toril.model.job import Lease
from toril.worker.attempt import Attempt

_logger = logging.getLogger("toril.worker")

_CANCEL_CHECK_SECONDS = 1.0


class Heartbeat:
    """Renews the leases of all running jobs in one call, and hears of cancellations."""

    def __init__(
        self,
        keeper: LeaseKeeper,
        lease_ms: int,
        clock: Clock,
        *,
        on_lost: Callable[[list[Attempt]], None],
        on_cancelled: Callable[[list[Attempt]], None],
    ) -> None:
        """Prepare.

        Args:
            keeper: Talks to the store.
            lease_ms: How long a lease lasts.
            clock: For the time between renewals.
            on_lost: Called in the heartbeat's thread with attempts whose leases are gone.
            on_cancelled: Called there with attempts that are to stop.
        """
        self._keeper = keeper
        self._lease_ms = lease_ms
        self._clock = clock
        self._on_lost = on_lost
        self._on_cancelled = on_cancelled
        self._held: set[Attempt] = set()
        self._stopping = threading.Event()
        # Thrice in a lease's time: two renewals may fail before it is lost.
        self._interval = lease_ms / 3000
        self._thread = threading.Thread(target=self._run, name="toril-heartbeat", daemon=True)

    def start(self) -> None:
        """Begin to beat."""
        self._thread.start()

    def hold(self, attempts: Iterable[Attempt]) -> None:
        """Renew attempts' leases until they are let go."""
        self._held.update(attempts)

    def let_go(self, attempts: Iterable[Attempt]) -> None:
        """Stop renewing leases: they are settled, or lost."""
        self._held.difference_update(attempts)

    def stop(self) -> None:
        """Stop beating."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        self._keeper.close()

    def _run(self) -> None:
        tick = min(_CANCEL_CHECK_SECONDS, self._interval)
        renew_at = self._clock.monotonic() + self._interval
        while not self._stopping.wait(tick):
            # Copied in one step of the interpreter: the event loop adds and removes meanwhile.
            attempts = list(self._held)
            if self._clock.monotonic() >= renew_at:
                renew_at = self._clock.monotonic() + self._interval
                self._renew(attempts)
            self._check_cancelled(attempts)

    def _renew(self, attempts: list[Attempt]) -> None:
        try:  # without attempts, too: an answer may be on its way to a loop that is blocked
            lost = self._keeper.extend([a.lease for a in attempts], self._lease_ms)
        except TorilError as error:
            _logger.warning("%d leases could not be renewed: %s", len(attempts), error)
            return
        # What was settled while the call was away is not lost.
        gone = [a for a in _of(attempts, lost) if a in self._held]
        if gone:
            self.let_go(gone)
            self._on_lost(gone)

    def _check_cancelled(self, attempts: list[Attempt]) -> None:
        running = [a for a in attempts if a.stopped is None]
        if not running:
            return
        try:
            cancelled = self._keeper.cancelled([a.lease for a in running])
        except TorilError as error:
            _logger.warning("cancellations could not be looked up: %s", error)
            return
        if cancelled:
            self._on_cancelled(_of(running, cancelled))


def _of(attempts: list[Attempt], leases: list[Lease]) -> list[Attempt]:
    """Return the attempts that run under some of their leases."""
    keys = {(lease.id, lease.token) for lease in leases}
    return [a for a in attempts if (a.lease.id, a.lease.token) in keys]
