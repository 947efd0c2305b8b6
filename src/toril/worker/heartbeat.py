"""Renews leases from a separate thread, so that a blocking handler cannot delay it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable, Sequence

from toril.clock import Clock
from toril.engine.contract.hot_path import LeaseKeeper
from toril.engine.contract.running import announce, withdraw
from toril.errors import TorilError
from toril.model.exceptions import description_of
from toril.model.job import Lease, QueueRef
from toril.printable import logger
from toril.worker.attempt import Attempt

_logger = logger("toril.worker")

_CANCEL_CHECK_SECONDS = 1.0


class Heartbeat:
    """Renews the leases of all running jobs in one call, and checks for cancellations.

    Attributes:
        location: The store of these jobs.
    """

    def __init__(
        self,
        keeper: LeaseKeeper,
        lease_ms: int,
        clock: Clock,
        *,
        location: str,
        on_lost: Callable[[list[Attempt]], None],
        on_cancelled: Callable[[list[Attempt]], None],
    ) -> None:
        """Create a heartbeat.

        Args:
            keeper: Renews leases in the store.
            lease_ms: How long a lease lasts, in milliseconds.
            clock: Measures the time between renewals.
            location: The store of the jobs.
            on_lost: Called in the heartbeat's thread with attempts that lost their leases.
            on_cancelled: Called in the heartbeat's thread with attempts that should stop.
        """
        self.location = location
        self._keeper = keeper
        self._calling = threading.Lock()
        self._lease_ms = lease_ms
        self._clock = clock
        self._on_lost = on_lost
        self._on_cancelled = on_cancelled
        self._held: dict[QueueRef, set[Attempt]] = {}
        self._stopping = threading.Event()
        # Three times per lease: two renewals may fail before the lease is lost.
        self._interval = lease_ms / 3000
        self._thread = threading.Thread(target=self._run, name="toril-heartbeat", daemon=True)

    def start(self) -> None:
        """Start the heartbeat's thread."""
        announce(self)
        self._thread.start()

    def hold(self, queue: QueueRef, attempts: Iterable[Attempt]) -> None:
        """Renew the leases of a queue's attempts until they are dropped."""
        self._held.setdefault(queue, set()).update(attempts)

    def drop(self, queue: QueueRef, attempts: Iterable[Attempt]) -> None:
        """Stop renewing leases, because their jobs are settled or the leases are lost."""
        self._held.setdefault(queue, set()).difference_update(attempts)

    def stop(self) -> None:
        """Stop the heartbeat's thread."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        withdraw(self)
        with self._calling:
            self._keeper.close()

    def held_in(self, queue: QueueRef) -> list[str]:
        """Return the ids of a queue's jobs whose leases are being renewed."""
        return [attempt.lease.id for attempt in list(self._held.get(queue, ()))]

    def _attempts(self) -> list[Attempt]:
        # Each set is copied in one interpreter step, because the event loop changes it meanwhile.
        return [attempt for held in list(self._held.values()) for attempt in list(held)]

    async def catch_up(self) -> None:
        """Renew all leases now, so that those which ran out meanwhile count again."""
        await asyncio.to_thread(self._renew, self._attempts())

    async def regain(self, attempts: Sequence[Attempt]) -> list[Attempt]:
        """Renew the leases of finished attempts whose settlements were refused.

        Args:
            attempts: The attempts.

        Returns:
            Those whose lease is held again, because nobody had taken the job.

        Raises:
            TorilError: The store failed.
        """
        lost = await asyncio.to_thread(self._extend, attempts)
        gone = set(_of(attempts, lost))
        return [attempt for attempt in attempts if attempt not in gone]

    def _extend(self, attempts: Sequence[Attempt]) -> list[Lease]:
        leases = [attempt.lease for attempt in attempts]
        with self._calling:
            if self._stopping.is_set():
                return leases
            return self._keeper.extend(leases, self._lease_ms)

    def _run(self) -> None:
        tick = min(_CANCEL_CHECK_SECONDS, self._interval)
        renew_at = self._clock.monotonic() + self._interval
        while not self._stopping.wait(tick):
            attempts = self._attempts()
            if self._clock.monotonic() >= renew_at:
                renew_at = self._clock.monotonic() + self._interval
                self._renew(attempts)
            self._check_cancelled(attempts)

    def _renew(self, attempts: list[Attempt]) -> None:
        try:  # even without attempts: fetched jobs may be on their way to a blocked event loop
            lost = self._extend(attempts)
        except Exception as error:  # noqa: BLE001 - whatever it is, the next renewal is due
            _logger.warning("could not renew %d leases: %s", len(attempts), _reason(error))
            return
        # An attempt that was settled during the call has not lost its lease.
        gone = [a for a in _of(attempts, lost) if a in self._held.get(a.lease.queue, ())]
        if gone:
            for attempt in gone:
                self.drop(attempt.lease.queue, [attempt])
            self._on_lost(gone)

    def _check_cancelled(self, attempts: list[Attempt]) -> None:
        running = [a for a in attempts if a.stopped is None]
        if not running:
            return
        try:
            cancelled = self._keeper.cancelled([a.lease for a in running])
        except Exception as error:  # noqa: BLE001 - as in `_renew`
            _logger.warning("could not check for cancelled jobs: %s", _reason(error))
            return
        if cancelled:
            self._on_cancelled(_of(running, cancelled))


def _reason(error: Exception) -> str:
    """Return what went wrong: the host may lack files or threads for a connection."""
    return str(error) if isinstance(error, TorilError) else description_of(error)


def _of(attempts: Sequence[Attempt], leases: Sequence[Lease]) -> list[Attempt]:
    """Return the attempts that run under the given leases."""
    keys = {(lease.id, lease.token) for lease in leases}
    return [a for a in attempts if (a.lease.id, a.lease.token) in keys]
