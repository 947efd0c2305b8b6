"""One attempt at a job, from its lease to its outcome, and the reasons to stop it early."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import Enum, auto
from typing import Any

from toril.model.job import Lease
from toril.model.outcome import Outcome


class Stop(Enum):
    """Why an attempt is stopped before its handler returns."""

    CANCEL = auto()
    TIMEOUT = auto()
    SHUTDOWN = auto()
    LEASE_LOST = auto()


class Attempt:
    """An attempt at a job: waiting to start, running, or finished.

    Attributes:
        lease: The lease that the attempt runs under.
        options: The job's options.
        started: When the attempt started, on the event loop's clock.
        stopped: Why the attempt was asked to stop; None if it was not.
        task: The asyncio task that runs the attempt; None until it takes its first step.
        resolved: Whether the outcome has been reported.
        deadline: The attempt's entry in the timer wheel; None without a timeout.
        dispatched: Whether the attempt has been passed to the starter.
        thread: The call that runs in a thread, if any. Cancelling the task does not stop it.
    """

    __slots__ = (
        "deadline",
        "dispatched",
        "lease",
        "on_outcome",
        "options",
        "resolved",
        "started",
        "stopped",
        "task",
        "thread",
    )

    def __init__(
        self, lease: Lease, started: float, on_outcome: Callable[[Attempt, Outcome], None]
    ) -> None:
        """Create an attempt.

        Args:
            lease: The lease that the attempt runs under.
            started: The event loop's current time.
            on_outcome: Called exactly once, with the attempt and its outcome.
        """
        self.lease = lease
        self.options = lease.options
        self.started = started
        self.on_outcome = on_outcome
        self.stopped: Stop | None = None
        self.task: asyncio.Task[None] | None = None
        self.resolved = False
        self.deadline: tuple[int, int] | None = None
        self.dispatched = False
        self.thread: asyncio.Future[Any] | None = None

    def stop(self, why: Stop) -> None:
        """Ask the handler to stop. Only the first reason counts."""
        if self.stopped is None and not self.resolved:
            self.stopped = why
            if self.task is not None:
                self.task.cancel()

    def is_stopped(self) -> bool:
        """Whether the handler was asked to stop; handlers in threads check this."""
        return self.stopped is not None

    def resolve(self, outcome: Outcome) -> None:
        """Report the outcome; later calls do nothing."""
        if not self.resolved:
            self.resolved = True
            self.on_outcome(self, outcome)
