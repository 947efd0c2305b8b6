"""One attempt at one job, from the lease to the outcome, and the ways to end it early."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import Enum, auto
from typing import Any

from toril.model.job import Lease
from toril.model.outcome import Outcome


class Stop(Enum):
    """Why an attempt is ended before its handler returns."""

    CANCEL = auto()
    TIMEOUT = auto()
    SHUTDOWN = auto()
    LEASE_LOST = auto()


class Attempt:
    """An attempt that runs, or has run.

    Attributes:
        lease: The lease it runs under.
        options: The job's options.
        started: When, on the event loop's clock.
        stopped: Why it was told to end; None if it was not.
        task: Runs it; None until its first step.
        resolved: Its outcome has been handed over.
        deadline: Its place in the timer wheel.
        begun: It was handed over to be started.
        thread: What runs of it in a thread, which goes on when the task is cancelled.
    """

    __slots__ = (
        "begun",
        "deadline",
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
        """Prepare.

        Args:
            lease: The lease it runs under.
            started: The event loop's time.
            on_outcome: Called once, with the outcome.
        """
        self.lease = lease
        self.options = lease.options
        self.started = started
        self.on_outcome = on_outcome
        self.stopped: Stop | None = None
        self.task: asyncio.Task[None] | None = None
        self.resolved = False
        self.deadline: tuple[int, int] | None = None
        self.begun = False
        self.thread: asyncio.Future[Any] | None = None

    def stop(self, why: Stop) -> None:
        """Tell the handler to end. The first reason counts."""
        if self.stopped is None and not self.resolved:
            self.stopped = why
            if self.task is not None:
                self.task.cancel()

    def is_stopped(self) -> bool:
        """Whether the handler was told to end; a thread asks this through its context."""
        return self.stopped is not None

    def resolve(self, outcome: Outcome) -> None:
        """Hand over the outcome, unless that was done before."""
        if not self.resolved:
            self.resolved = True
            self.on_outcome(self, outcome)
