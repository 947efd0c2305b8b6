"""Publishes what happens to attempts as events, statistics and log messages."""

from __future__ import annotations

from collections.abc import Sequence

from toril.model.events import (
    EventBus,
    JobCompleted,
    JobFailed,
    JobReleased,
    JobRetrying,
    JobStarted,
    LeaseLost,
)
from toril.model.job import Lease, QueueRef
from toril.model.settlement import Complete, Fail, Release, Retry, Settlement
from toril.printable import logger
from toril.worker.attempt import Attempt
from toril.worker.statistics import Statistics

_logger = logger("toril.worker")


class Publisher:
    """Publishes what happens to one queue's attempts."""

    def __init__(self, queue: QueueRef, bus: EventBus, statistics: Statistics) -> None:
        """Create a publisher.

        Args:
            queue: The queue.
            bus: Receives the events.
            statistics: The counters to update.
        """
        self._queue = queue
        self._bus = bus
        self._statistics = statistics

    def started(self, attempts: Sequence[Attempt]) -> None:
        """Publish that attempts start."""
        if self._bus.wants(JobStarted):
            for attempt in attempts:
                self._bus.emit(JobStarted(self._queue, attempt.lease))

    def settled(self, settlements: Sequence[tuple[Settlement, float]]) -> None:
        """Publish accepted settlements, each with its attempt's duration in seconds."""
        if not self._bus.wants(JobCompleted) and all(type(s) is Complete for s, _ in settlements):
            self._statistics.completed += len(settlements)
            return
        for settlement, duration in settlements:
            self._settled(settlement, duration)

    def _settled(self, settlement: Settlement, duration: float) -> None:
        bus, queue, lease = self._bus, self._queue, settlement.lease
        match settlement:
            case Complete():
                self._statistics.completed += 1
                bus.emit(JobCompleted(queue, lease, duration))
            case Retry():
                self._statistics.retried += 1
                delay = settlement.delay_ms / 1000
                bus.emit(JobRetrying(queue, lease, duration, settlement.error, delay))
                _logger.info(
                    "%s %s failed attempt %d of %d; retrying in %g s: %s: %s",
                    lease.name,
                    lease.id,
                    settlement.error.attempt,
                    lease.options.attempts,
                    delay,
                    settlement.error.type,
                    settlement.error.message,
                )
            case Fail():
                self._statistics.failed += 1
                bus.emit(JobFailed(queue, lease, duration, settlement.error))
                _logger.error(
                    "%s %s failed for good on attempt %d of %d: %s: %s",
                    lease.name,
                    lease.id,
                    settlement.error.attempt,
                    lease.options.attempts,
                    settlement.error.type,
                    settlement.error.message,
                )
            case Release():
                self._statistics.released += 1
                bus.emit(JobReleased(queue, lease, settlement.delay_ms / 1000))

    def lost(self, lease: Lease) -> None:
        """Publish that a lease was lost."""
        self._statistics.lost += 1
        self._bus.emit(LeaseLost(self._queue, lease))
        _logger.warning(
            "%s %s lost its lease before it finished; its outcome is ignored",
            lease.name,
            lease.id,
        )
