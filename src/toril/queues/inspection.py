"""Inspects a queue and its jobs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from toril.engine.contract.engine import Engine
from toril.engine.contract.jobs import Page
from toril.engine.contract.queues import QueueInfo
from toril.engine.contract.rules import no_such_queue
from toril.errors import ValidationError
from toril.model.durations import Duration
from toril.model.job import Job, QueueRef
from toril.model.state import JobState, parse_state
from toril.queues.handle import JobHandle
from toril.queues.metrics import DEFAULT_WINDOW, QueueMetrics, summarize, window_to_ms
from toril.queues.submission import Submission

_PAGE = 1000


class Inspection:
    """The methods of a queue that inspect it."""

    def __init__(self, submission: Submission) -> None:
        """Create the inspection of a queue.

        Args:
            submission: Adds jobs to the queue.
        """
        self._submission = submission

    @property
    def ref(self) -> QueueRef:
        """The queue's prefix and name."""
        return self._submission.ref

    @property
    def engine(self) -> Engine:
        """The engine that stores the queue's jobs."""
        return self._submission.engine

    def handle(self, job_id: str) -> JobHandle[Any]:
        """Return a handle on a job by its id, without checking that the job exists.

        Args:
            job_id: The job's id.
        """
        return self._submission.handle(job_id)

    async def get(self, job_id: str) -> Job | None:
        """Return a job as it is now; None if it does not exist.

        Args:
            job_id: The job's id.
        """
        return (await self.engine.jobs.get(self.ref, [job_id]))[0]

    async def info(self) -> QueueInfo:
        """Return whether the queue is paused, and its limits.

        Raises:
            NotFoundError: The queue does not exist in the store yet.
        """
        info = await self.engine.queues.info(self.ref)
        if info is None:
            raise no_such_queue(self.ref)
        return info

    async def counts(self) -> dict[JobState, int]:
        """Return the number of jobs in each state.

        Raises:
            NotFoundError: The queue does not exist in the store yet.
        """
        return await self.engine.queues.counts(self.ref)

    async def metrics(self, window: Duration = DEFAULT_WINDOW) -> QueueMetrics:
        """Return the queue's metrics: counts now, and rates and durations over a time window.

        Args:
            window: The length of the window, in seconds; it is rounded to minutes.

        Raises:
            NotFoundError: The queue does not exist in the store yet.
        """
        window_ms = window_to_ms(window)
        found = await self.engine.queues.overview([self.ref], window_ms)
        if not found:
            raise no_such_queue(self.ref)
        return summarize(found[0])

    async def jobs(
        self,
        state: JobState | str | None = None,
        *,
        name: str | None = None,
        tag: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page:
        """Return a page of jobs.

        Args:
            state: Only jobs in this state, in the order in which they will run, or if they have
                finished, the most recent first.
            name: Only jobs with this name.
            tag: Only jobs with this tag.
            limit: The maximum number of jobs, 1 to 1000.
            cursor: The `cursor` of the previous page.

        Returns:
            The jobs, and the cursor of the next page.

        Raises:
            ValidationError: The state, limit or cursor is not valid.
            NotFoundError: The queue does not exist in the store yet.
        """
        if not 1 <= limit <= _PAGE:
            raise ValidationError("limit", f"must be from 1 to {_PAGE}, not {limit!r}")
        states = () if state is None else (parse_state(state),)
        return await self.engine.jobs.page(
            self.ref, states=states, name=name, tag=tag, limit=limit, cursor=cursor
        )

    async def each(
        self,
        state: JobState | str | None = None,
        *,
        name: str | None = None,
        tag: str | None = None,
    ) -> AsyncIterator[Job]:
        """Iterate over all jobs, loading them page by page; takes the same filters as `jobs`."""
        cursor = None
        while True:
            page = await self.jobs(state, name=name, tag=tag, limit=_PAGE, cursor=cursor)
            for job in page.jobs:
                yield job
            cursor = page.cursor
            if cursor is None:
                return
