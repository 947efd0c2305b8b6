"""Schedules: jobs that repeat, on a cron pattern or an interval."""

from __future__ import annotations

from typing import Protocol

import msgspec

from toril.model.job import QueueRef
from toril.model.schedule import Schedule


class ScheduleInfo(msgspec.Struct, frozen=True):
    """A schedule and its progress.

    Attributes:
        schedule: The schedule, including the offset of an interval's jobs. Options set by
            Node.js that Toril does not know are left out.
        next_ms: When its newest job is due, or was due if none follows.
        iterations: How many jobs it has made.
    """

    schedule: Schedule
    next_ms: int
    iterations: int


class Schedules(Protocol):
    """The schedules of a store's queues. Every method may raise an `EngineError`."""

    async def upsert(self, queue: QueueRef, schedule: Schedule) -> int:
        """Create a schedule, or replace the one with its id, and add its next job.

        A schedule has at most one pending job. Picking it up creates the next one, in the
        same step or before the lease is handed out; missed runs are skipped. The pending job
        cannot be removed, drained, cleaned or cancelled, and is never poison. Upserting
        replaces it. If an interval is unchanged, the next job keeps its time; otherwise the
        rule starts over, and so does the count towards its limit.

        Args:
            queue: The queue; created if it does not exist.
            schedule: The schedule.

        Returns:
            When its next job is due.

        Raises:
            ValidationError: The schedule would never make a job; nothing was changed.
        """
        ...

    async def remove(self, queue: QueueRef, schedule_id: str) -> bool:
        """Remove a schedule and its pending job; return whether it existed.

        Args:
            queue: The queue.
            schedule_id: The schedule.
        """
        ...

    async def all(self, queue: QueueRef) -> list[ScheduleInfo]:
        """Return a queue's schedules, ordered by when their job is due."""
        ...
