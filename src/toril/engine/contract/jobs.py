"""Jobs: inspection and control."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import msgspec

from toril.model.job import AttemptError, Job, QueueRef
from toril.model.state import JobState


class Ending(msgspec.Struct, frozen=True):
    """How a job ended.

    Attributes:
        state: COMPLETED or FAILED.
        result_json: What the handler returned, as JSON.
        error: The error that ended it.
    """

    state: JobState
    result_json: str | None = None
    error: AttemptError | None = None


class Page(msgspec.Struct, frozen=True):
    """Part of a listing.

    Attributes:
        jobs: The jobs.
        cursor: Where the next page starts; None after the last page.
    """

    jobs: Sequence[Job]
    cursor: str | None


class Jobs(Protocol):
    """The jobs of a store's queues. Every method may raise an `EngineError`."""

    async def get(self, queue: QueueRef, ids: Sequence[str]) -> list[Job | None]:
        """Return jobs by id, in order; None for those that do not exist."""
        ...

    async def page(
        self,
        queue: QueueRef,
        *,
        states: Sequence[JobState] = (),
        name: str | None = None,
        tag: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page:
        """Return one page of a queue's jobs.

        Args:
            queue: The queue.
            states: Only jobs in these states; empty means all. With one state, jobs come in its
                own order: next to run first, last finished first. Otherwise the order depends
                on the engine: by id, or state by state.
            name: Only jobs with this name.
            tag: Only jobs with this tag, in the order in which they were added.
            limit: Maximum number of jobs.
            cursor: From the previous page.
        """
        ...

    async def raw(self, queue: QueueRef, job_id: str) -> dict[str, Any] | None:
        """Return all that the store holds for a job, unread: for people, and for broken jobs.

        Returns:
            The engine's own names and values; None if there is nothing.
        """
        ...

    async def logs(
        self, queue: QueueRef, job_id: str, *, start: int = 0, limit: int = 1000
    ) -> list[str]:
        """Return lines of a job's log, oldest first, starting at line `start`."""
        ...

    async def endings(self, queue: QueueRef, ids: Sequence[str]) -> dict[str, Ending | None]:
        """Return how jobs ended; None for those still going. Missing jobs are left out."""
        ...

    async def promote(self, queue: QueueRef, ids: Sequence[str]) -> list[str]:
        """Make delayed jobs ready; return the ids of those that were delayed."""
        ...

    async def retry(self, queue: QueueRef, ids: Sequence[str]) -> list[str]:
        """Run finished jobs again with all their attempts; return those that were finished."""
        ...

    async def remove(self, queue: QueueRef, ids: Sequence[str]) -> list[str]:
        """Remove jobs that are not active; return the ids of those that were removed."""
        ...

    async def cancel(self, queue: QueueRef, ids: Sequence[str]) -> list[str]:
        """Fail waiting jobs and ask running ones to stop; return the ids of both."""
        ...

    async def change(
        self,
        queue: QueueRef,
        job_id: str,
        *,
        priority: int | None = None,
        delay_ms: int | None = None,
        data: str | None = None,
    ) -> None:
        """Change a job that has not finished.

        Args:
            queue: The queue.
            job_id: The job.
            priority: Its new priority; only before it starts.
            delay_ms: Its new delay from now; only before it starts.
            data: Its new payload as JSON; a running job sees it at its next attempt.

        Raises:
            NotFoundError: The job does not exist.
            ConflictError: It has started, or finished.
        """
        ...
