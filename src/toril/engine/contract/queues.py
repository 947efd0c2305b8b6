"""Queues: what is known of them, and what people do to a queue as a whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from toril.engine.contract.metrics import MetricsWindow
from toril.model.job import QueueRef
from toril.model.limits import NO_LIMITS, KeyLimits, Limits, RateLimit
from toril.model.state import JobState


class QueueInfo(msgspec.Struct, frozen=True):
    """A queue's settings.

    Attributes:
        ref: Its prefix and name.
        paused: Workers take nothing from it.
        concurrency: How many jobs may run at once over all workers; None is no limit.
        rate_limit: How many may start in a time; None is no limit.
        by_key: Limits for the jobs of each key; None is no limit.
    """

    ref: QueueRef
    paused: bool = False
    concurrency: int | None = None
    rate_limit: RateLimit | None = None
    by_key: KeyLimits | None = None


class QueueOverview(msgspec.Struct, frozen=True):
    """A queue at one moment, and what it did before.

    Attributes:
        info: Its settings.
        counts: The number of jobs in each stored state.
        window: What it did in the window that was asked for.
    """

    info: QueueInfo
    counts: Mapping[JobState, int]
    window: MetricsWindow


class Queues(Protocol):
    """The queues of a store. Every method may raise an `EngineError`."""

    async def register(self, queue: QueueRef, limits: Limits = NO_LIMITS) -> None:
        """Make a queue visible, and set limits; a limit that is None stays as it is.

        With limits by key, keys take turns: each key with a job that may start gets one
        started before any gets its second. Priorities order the jobs of one key. Jobs that
        wait for their turn may be listed as PRIORITIZED.

        Args:
            queue: The queue.
            limits: The limits.

        Raises:
            ConflictError: The queue has limits by the keys of another field.
        """
        ...

    async def clear_limits(self, queue: QueueRef) -> None:
        """Remove a queue's limits. The jobs that they held back are ready."""
        ...

    async def all(self) -> list[QueueInfo]:
        """Return every queue, ordered by prefix and name."""
        ...

    async def info(self, queue: QueueRef) -> QueueInfo | None:
        """Return a queue's settings, or None if it does not exist.

        A queue that only Node.js has used so far is found by its name, and `all` has it
        from then on.
        """
        ...

    async def counts(self, queue: QueueRef) -> dict[JobState, int]:
        """Return the number of jobs in each stored state."""
        ...

    async def overview(self, queues: Sequence[QueueRef], window_ms: int) -> list[QueueOverview]:
        """Return settings, counts and recent numbers of many queues, in one call.

        Args:
            queues: The queues; those that do not exist are left out.
            window_ms: How far back the numbers go, to the minute.

        Returns:
            One overview a queue, in the order given.
        """
        ...

    async def pause(self, queue: QueueRef) -> None:
        """Let workers take nothing more from the queue. Running jobs go on."""
        ...

    async def resume(self, queue: QueueRef) -> None:
        """Undo a pause."""
        ...

    async def drain(self, queue: QueueRef, *, delayed: bool = False) -> int:
        """Remove the waiting jobs, and the delayed ones too if asked; return how many."""
        ...

    async def clean(
        self, queue: QueueRef, state: JobState, grace_ms: int, limit: int | None = None
    ) -> list[str]:
        """Remove jobs that have been in a state for at least `grace_ms`.

        Args:
            queue: The queue.
            state: Any stored state but ACTIVE.
            grace_ms: Since they finished; for other states, since they were added.
            limit: How many at most; None is all. Of finished jobs those that finished first go
                first, else those that come first in the state's own order.

        Returns:
            The ids of the removed jobs, oldest first.

        Raises:
            ConflictError: Jobs in this state cannot be removed.
        """
        ...

    async def obliterate(self, queue: QueueRef, *, force: bool = False) -> int:
        """Remove a queue and everything in it; return how many jobs that were.

        Raises:
            NotFoundError: The queue does not exist.
            ConflictError: Jobs are active, and `force` was not given.
        """
        ...
