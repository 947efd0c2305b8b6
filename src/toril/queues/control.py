"""Controlling a queue: pause, limits, removal, and what is done to many jobs at once."""

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
    """The part of a queue that changes it."""

    async def pause(self) -> None:
        """Let workers take nothing more from the queue. Running jobs go on."""
        await self.engine.queues.pause(self.ref)

    async def resume(self) -> None:
        """Undo a pause."""
        await self.engine.queues.resume(self.ref)

    async def clear_limits(self) -> None:
        """Take away all limits of rate and concurrency; what they held back is ready."""
        await self.engine.queues.clear_limits(self.ref)

    async def drain(self, *, delayed: bool = False) -> int:
        """Remove the jobs that wait.

        Args:
            delayed: The delayed ones too.

        Returns:
            How many were removed.
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
            grace: At least this long, in seconds; a day unless given.
            state: The state.
            limit: How many at most, oldest first; None is all.

        Returns:
            How many were removed.

        Raises:
            ConflictError: Jobs of that state cannot be removed.
            ValidationError: There is no such state.
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
            force: Even if jobs are active.

        Returns:
            How many jobs were removed.

        Raises:
            ConflictError: Jobs are active.
        """
        return await self.engine.queues.obliterate(self.ref, force=force)

    async def retry_jobs(self, *, name: str | None = None, tag: str | None = None) -> int:
        """Run all failed jobs again, or those of a name or tag; return how many."""
        return await self._for_all(self.engine.jobs.retry, {JobState.FAILED}, name, tag)

    async def promote_jobs(self, *, name: str | None = None, tag: str | None = None) -> int:
        """Let all delayed jobs run now, or those of a name or tag; return how many."""
        return await self._for_all(self.engine.jobs.promote, {JobState.DELAYED}, name, tag)

    async def cancel_jobs(self, *, name: str | None = None, tag: str | None = None) -> int:
        """Cancel all jobs that have not ended, or those of a name or tag; return how many."""
        return await self._for_all(self.engine.jobs.cancel, STORED - FINAL, name, tag)

    async def remove_jobs(
        self,
        state: JobState | str | None = None,
        *,
        name: str | None = None,
        tag: str | None = None,
    ) -> int:
        """Remove all jobs that are not active, or those of a state, name or tag.

        Returns:
            How many were removed.
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
        """Do something to every job that fits, a page at a time."""
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
