"""The engine as a whole: its hot path, its parts, and what it declares about itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from toril.engine.contract.diagnosis import Finding
from toril.engine.contract.events import Events
from toril.engine.contract.hot_path import (
    Added,
    Batch,
    Exchange,
    Fetch,
    LeaseKeeper,
    Note,
    Stalled,
    WakeToken,
)
from toril.engine.contract.jobs import Jobs
from toril.engine.contract.queues import Queues
from toril.engine.contract.schedules import Schedules
from toril.model.job import NewJob, QueueRef
from toril.model.settlement import Settlement


class Capabilities(msgspec.Struct, frozen=True):
    """What an engine can do. It refuses the rest with `UnsupportedError`.

    Attributes:
        name: The engine's name, as users see it.
        durable: Added jobs survive the end of the process.
        shared: Several processes may work on the same queues.
        bullmq: Node.js services see the same queues.
        remote: The store runs in another process, so calls can overlap.
        local_file: The store is a file, which `create=True` makes.
        may_evict: The store's own settings can make it drop jobs; `examine` reports this.
    """

    name: str
    durable: bool
    shared: bool
    bullmq: bool
    remote: bool = False
    local_file: bool = False
    may_evict: bool = False


class Engine(Protocol):
    """Where jobs live. Every method may raise an `EngineError`."""

    @property
    def capabilities(self) -> Capabilities:
        """What the engine can do."""
        ...

    @property
    def location(self) -> str:
        """Where jobs are stored, safe to show: without a password."""
        ...

    @property
    def queues(self) -> Queues:
        """Queues: limits, counts, pause, removal."""
        ...

    @property
    def jobs(self) -> Jobs:
        """Jobs: inspection and control."""
        ...

    @property
    def events(self) -> Events:
        """Events: the record of what happened."""
        ...

    @property
    def schedules(self) -> Schedules:
        """Schedules: jobs that repeat."""
        ...

    async def open(self) -> None:
        """Connect and prepare the store. The first call of any other method does this too."""
        ...

    async def close(self) -> None:
        """Release every connection and thread. A second call does nothing."""
        ...

    async def examine(self) -> list[Finding]:
        """Look for settings and conditions that lose jobs or slow them down."""
        ...

    # The hot path

    async def add(
        self, queue: QueueRef, jobs: Sequence[NewJob], batch: Batch | None = None
    ) -> list[Added]:
        """Add jobs in order, as if one by one: all of them, or none.

        Args:
            queue: The queue; created if it does not exist.
            jobs: The jobs.
            batch: Identifies the call, so that repeating it adds nothing.

        Returns:
            The result for each job, in order.
        """
        ...

    async def exchange(
        self, queue: QueueRef, settlements: Sequence[Settlement], fetch: Fetch | None
    ) -> Exchange:
        """Settle finished jobs and take new ones, in one call.

        A settlement whose lease is no longer held is refused and changes nothing. Follow-ups
        of an accepted settlement are added in the same step, before retention removes its
        record; those of a refused one are not. Due delayed jobs become ready first, even in a
        paused queue. Jobs without a priority run before jobs with one, then by priority, then
        in order.

        Args:
            queue: The queue of all settlements and of the jobs to take.
            settlements: What has finished.
            fetch: What to take; None takes nothing.

        Returns:
            The result for each settlement, and the new leases.

        Raises:
            UnsupportedError: A follow-up cannot be added in the same step; nothing was done.
        """
        ...

    def check_follow_ups(self, queue: QueueRef, target: QueueRef) -> None:
        """Check that settlements in one queue can add jobs to another in the same step.

        Args:
            queue: The queue of the settlements.
            target: The queue of the follow-ups.

        Raises:
            UnsupportedError: They cannot; the message names the fix.
        """
        ...

    async def wait(self, queue: QueueRef, until_ms: int | None, token: WakeToken) -> None:
        """Return when there may be work, or at a point in time, whichever comes first.

        Args:
            queue: The queue.
            until_ms: The time, in milliseconds since 1970; None waits indefinitely.
            token: From the last exchange.
        """
        ...

    def keeper(self) -> LeaseKeeper:
        """Return the object that renews leases from a thread of its own."""
        ...

    async def note(self, queue: QueueRef, notes: Sequence[Note]) -> None:
        """Store progress and log lines of jobs whose leases are held; drop those of others."""
        ...

    async def rescue(
        self, queue: QueueRef, max_stalls: int, unless_within_ms: int = 0
    ) -> list[Stalled]:
        """Take jobs whose leases ran out from their workers, and put them first in line.

        Jobs that this process runs, or that are on their way to it, are left alone; see
        `running.held_here`. If the clock was set back, leases and delays become no longer than was
        asked for.

        Args:
            queue: The queue.
            max_stalls: How often one job may stall before it is poison.
            unless_within_ms: Skip if another rescue ran within this many ms.
        """
        ...
