"""Event records: what happened to jobs and queues, for anyone to follow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple, Protocol

import msgspec

from toril.model.job import QueueRef


class EventKind(StrEnum):
    """What happened. A comment says what `EventRecord.data` holds; without one it is None."""

    ADDED = "added"  # the job's name
    DEDUPLICATED = "deduplicated"  # the id of the job that was not added
    ACTIVE = "active"
    PROGRESS = "progress"  # the progress, as JSON
    COMPLETED = "completed"  # the result, as JSON, if retention may leave no record of it
    FAILED = "failed"  # the error's type and message, as a JSON array
    RETRYING = "retrying"  # as for FAILED
    RELEASED = "released"
    PROMOTED = "promoted"
    STALLED = "stalled"
    CANCELLED = "cancelled"
    RETRIED = "retried"
    CHANGED = "changed"
    REMOVED = "removed"
    PAUSED = "paused"
    RESUMED = "resumed"


class EventRecord(msgspec.Struct, frozen=True):
    """Something that happened to a job or a queue, as the store recorded it.

    Attributes:
        kind: What happened.
        job_id: The job; empty if it happened to the queue.
        at_ms: When, by the store's clock.
        data: See `EventKind`.
    """

    kind: EventKind
    job_id: str
    at_ms: int
    data: str | None = None


class News(NamedTuple):
    """What happened in one queue.

    Attributes:
        records: What happened, oldest first.
        cursor: Where to continue.
    """

    records: Sequence[EventRecord]
    cursor: str


class Events(Protocol):
    """The events of a store's queues. Every method may raise an `EngineError`."""

    async def tails(self, queues: Sequence[QueueRef]) -> dict[QueueRef, str]:
        """Return a cursor at the end of each queue's events, to read what happens from now on."""
        ...

    async def read(
        self, cursors: Mapping[QueueRef, str], *, limit: int = 1000, timeout: float = 0
    ) -> dict[QueueRef, News]:
        """Return what happened in many queues after their cursors, in one call.

        Args:
            cursors: The queues, each with a cursor from `tails` or an earlier call.
            limit: Approximate maximum number of records per queue.
            timeout: How many seconds to wait if nothing has happened yet.

        Returns:
            News for the queues in which something happened; empty after the timeout.

        Raises:
            ValidationError: A cursor does not come from this store's events.
        """
        ...
