"""Controls a queue: pause, limits, removal, and operations on many jobs at once."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from toril.model.checks import check_integer
from toril.model.durations import DEFAULT_GRACE, Duration, to_ms
from toril.model.job import QueueRef
from toril.model.state import FINAL, STORED, JobState, parse_state
from toril.queues.inspection import Inspection

_PAGE = 1000


class Control(Inspection):
    """The methods of a queue that control it."""

    async def pause(self) -> None:
        """Stop workers from fetching jobs of the queue. Running jobs continue."""
        await self.engine.queues.pause(self.ref)

    async def resume(self) -> None:
        """Let workers fetch jobs again after a pause."""
        await self.engine.queues.resume(self.ref)

    async def clear_limits(self) -> None:
        """Remove all rate and concurrency limits; jobs that they held back become ready."""
        await self.engine.queues.clear_limits(self.ref)

    async def drain(self, *, delayed: bool = False) -> int:
        """Remove all jobs that are ready to run.

        Args:
            delayed: Also remove delayed jobs.

        Returns:
            How many jobs were removed.
        """
        return await self.engine.queues.drain(self.ref, delayed=delayed)

    async def clean(
        self,
        grace: Duration = DEFAULT_GRACE,
        state: JobState | str = JobState.COMPLETED,
        limit: int | None = None,
    ) -> int:
        """Remove jobs that have been in a state for a while.

        Args:
            grace: How long a job must have been in the state, in seconds; defaults to a day.
            state: The state.
            limit: The maximum number of jobs to remove, oldest first; None means all.

        Returns:
            How many jobs were removed.

        Raises:
            ConflictError: Jobs in that state cannot be removed.
            ValidationError: The state does not exist, or another argument is not valid.
        """
        if limit is not None:
            check_integer(limit, "limit", 1)
        removed = await self.engine.queues.clean(
            self.ref, parse_state(state), to_ms(grace, "grace"), limit
        )
        return len(removed)

    async def obliterate(self, *, force: bool = False) -> int:
        """Remove the queue and everything in it.

        Args:
            force: Remove it even if jobs are active.

        Returns:
            How many jobs were removed.

        Raises:
            ConflictError: Jobs are active, and `force` is not set.
        """
        return await self.engine.queues.obliterate(self.ref, force=force)

    async def retry_jobs(self, *, name: str | None = None, tag: str | None = None) -> int:
        """Retry all failed jobs, or those with a name or tag, and return how many."""
        return await self._for_all(self.engine.jobs.retry, {JobState.FAILED}, name, tag)

    async def promote_jobs(self, *, name: str | None = None, tag: str | None = None) -> int:
        """Promote all delayed jobs, or those with a name or tag, and return how many."""
        return await self._for_all(self.engine.jobs.promote, {JobState.DELAYED}, name, tag)

    async def cancel_jobs(self, *, name: str | None = None, tag: str | None = None) -> int:
        """Cancel all unfinished jobs, or those with a name or tag, and return how many."""
        return await self._for_all(self.engine.jobs.cancel, STORED - FINAL, name, tag)

    async def remove_jobs(
        self,
        state: JobState | str | None = None,
        *,
        name: str | None = None,
        tag: str | None = None,
    ) -> int:
        """Remove all jobs that are not active, or those with a state, name or tag.

        Returns:
            How many jobs were removed.
        """
        states = STORED - {JobState.ACTIVE} if state is None else {parse_state(state)}
        return await self._for_all(self.engine.jobs.remove, states, name, tag)

    async def _for_all(
        self,
        operation: Callable[[QueueRef, Sequence[str]], Coroutine[Any, Any, list[str]]],
        states: frozenset[JobState] | set[JobState],
        name: str | None,
        tag: str | None,
    ) -> int:
        """Apply an operation to all matching jobs, one page at a time."""
        total, cursor = 0, None
        while True:
            page = await self.engine.jobs.page(
                self.ref, states=sorted(states), name=name, tag=tag, limit=_PAGE, cursor=cursor
            )
            if page.jobs:
                total += len(await operation(self.ref, [job.id for job in page.jobs]))
            cursor = page.cursor
            if cursor is None:
                return total
