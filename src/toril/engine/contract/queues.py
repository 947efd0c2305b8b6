"""Queues: settings, counts, and operations on a whole queue."""

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
        paused: Workers fetch nothing from it.
        concurrency: Maximum number of jobs running at once, over all workers; None means no
            limit.
        rate_limit: Maximum number of jobs that start in a period; None means no limit.
        by_key: Limits for the jobs of each key; None means no limit.
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
        window: What it did in the requested window.
    """

    info: QueueInfo
    counts: Mapping[JobState, int]
    window: MetricsWindow


class Queues(Protocol):
    """The queues of a store. Every method may raise an `EngineError`."""

    async def register(
        self, queue: QueueRef, limits: Limits = NO_LIMITS, *, lasting: bool = False
    ) -> None:
        """Make a queue visible, and set limits; a limit that is None is left unchanged.

        With limits by key, keys take turns: every key with a job that may start gets one
        started before any key gets a second. Priorities order the jobs of one key. Jobs
        waiting for their turn may be listed as PRIORITIZED.


        Args:
            queue: The queue.
            limits: The limits.
            lasting: Set them again whenever this engine finds that the queue was removed, by
                `obliterate` or because the store lost its data. No job starts without them.

        Raises:
            ConflictError: The queue has limits keyed by a different field.
        """
        ...

    async def clear_limits(self, queue: QueueRef) -> None:
        """Remove a queue's limits, for good. The jobs that they held back become ready."""
        ...

    async def all(self) -> list[QueueInfo]:
        """Return every queue, ordered by prefix and name."""
        ...

    async def info(self, queue: QueueRef) -> QueueInfo | None:
        """Return a queue's settings, or None if it does not exist.

        A queue that only Node.js has used so far is found by its name; from then on `all`
        includes it.
        """
        ...

    async def counts(self, queue: QueueRef) -> dict[JobState, int]:
        """Return the number of jobs in each stored state."""
        ...

    async def overview(self, queues: Sequence[QueueRef], window_ms: int) -> list[QueueOverview]:
        """Return the settings, counts and recent metrics of many queues, in one call.

        Args:
            queues: The queues; those that do not exist are left out.
            window_ms: How far back the metrics go, to the minute.

        Returns:
            One overview per queue, in the order given.
        """
        ...

    async def pause(self, queue: QueueRef) -> None:
        """Stop workers from fetching from the queue. Running jobs continue."""
        ...

    async def resume(self, queue: QueueRef) -> None:
        """Undo a pause."""
        ...

    async def drain(self, queue: QueueRef, *, delayed: bool = False) -> int:
        """Remove the waiting jobs, and with `delayed` the delayed ones; return how many."""
        ...

    async def clean(
        self, queue: QueueRef, state: JobState, grace_ms: int, limit: int | None = None
    ) -> list[str]:
        """Remove jobs that have been in a state for at least `grace_ms`.

        Args:
            queue: The queue.
            state: Any stored state but ACTIVE.
            grace_ms: Counted from when they finished; in other states, from when they were added.
            limit: Maximum number to remove; None means all. Finished jobs are removed in the
                order in which they finished, others in their state's own order.

        Returns:
            The ids of the removed jobs, oldest first.

        Raises:
            ConflictError: Jobs in this state cannot be removed.
        """
        ...

    async def sweep(self, queue: QueueRef) -> int:
        """Remove finished jobs that are past their age, in bounded steps; return how many.

        Settlements apply retention to what has finished before. This removes what expires while
        nothing finishes. Call it now and then; what is left over is removed by the next call.
        """
        ...

    async def obliterate(self, queue: QueueRef, *, force: bool = False) -> int:
        """Remove a queue and everything in it; return the number of jobs removed.

        Raises:
            NotFoundError: The queue does not exist.
            ConflictError: Jobs are active, and `force` was not given.
        """
        ...
