"""Keeping hold of jobs from a thread of its own, so that no handler can make it late."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from toril.clock import Clock
from toril.engine.base import LeaseKeeper
from toril.errors import TorilError
from toril.model.job import Lease

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
        on_lost: Callable[[list[Lease]], None],
        on_cancelled: Callable[[list[Lease]], None],
    ) -> None:
        """Prepare.

        Args:
            keeper: Talks to the store.
            lease_ms: How long a lease lasts.
            clock: For the time between renewals.
            on_lost: Called in the heartbeat's thread with leases that are gone.
            on_cancelled: Called there with leases whose jobs are to stop.
        """
        self._keeper = keeper
        self._lease_ms = lease_ms
        self._clock = clock
        self._on_lost = on_lost
        self._on_cancelled = on_cancelled
        self._leases: dict[tuple[str, str], Lease] = {}
        self._stopping = threading.Event()
        # Thrice in a lease's time: two renewals may fail before it is lost.
        self._interval = lease_ms / 3000
        self._thread = threading.Thread(target=self._run, name="toril-heartbeat", daemon=True)

    def start(self) -> None:
        """Begin to beat."""
        self._thread.start()

    def hold(self, lease: Lease) -> None:
        """Renew a lease until it is let go."""
        self._leases[lease.id, lease.token] = lease

    def let_go(self, lease: Lease) -> None:
        """Stop renewing a lease: it is settled, or lost."""
        self._leases.pop((lease.id, lease.token), None)

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
            leases = list(self._leases.values())
            if self._clock.monotonic() >= renew_at:
                renew_at = self._clock.monotonic() + self._interval
                leases = self._renew(leases)
            self._check_cancelled(leases)

    def _renew(self, leases: list[Lease]) -> list[Lease]:
        if not leases:
            return leases
        try:
            lost = self._keeper.extend(leases, self._lease_ms)
        except TorilError as error:
            _logger.warning("%d leases could not be renewed: %s", len(leases), error)
            return leases
        # What was settled while the call was away is not lost.
        lost = [lease for lease in lost if (lease.id, lease.token) in self._leases]
        for lease in lost:
            self.let_go(lease)
        if lost:
            self._on_lost(lost)
        return list(self._leases.values())

    def _check_cancelled(self, leases: list[Lease]) -> None:
        if not leases:
            return
        try:
            cancelled = self._keeper.cancelled(leases)
        except TorilError as error:
            _logger.warning("cancellations could not be looked up: %s", error)
            return
        if cancelled:
            self._on_cancelled(cancelled)
