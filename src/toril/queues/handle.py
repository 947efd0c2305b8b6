"""A hold on one job: what it is doing, how it ended, and a way to stop it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

import msgspec

from toril.engine.base import Added, AddStatus
from toril.errors import (
    ConflictError,
    JobCancelledError,
    JobFailedError,
    JobRemovedError,
    NotFoundError,
    ResultTimeoutError,
    ValidationError,
)
from toril.model.durations import Duration, to_ms
from toril.model.job import Job
from toril.model.options import Priority
from toril.model.outcome import CANCELLED
from toril.model.state import JobState

if TYPE_CHECKING:
    from toril.queues.queue import Queue

R = TypeVar("R")


class JobHandle(Generic[R]):
    """A job that was added. Two handles are equal if they hold the same job.

    Attributes:
        id: The job's id.
        created: False if the call found a job that was there already; the id is that job's.
        deduplicated: Another job holds the deduplication key; the id is that job's.
        fallback: The job went to a local spool because the main store was away.
    """

    __slots__ = ("_queue", "_result_type", "created", "deduplicated", "fallback", "id")

    def __init__(self, queue: Queue, added: Added, result_type: Any = Any) -> None:
        """Hold a job.

        Args:
            queue: Where it is.
            added: What the engine answered.
            result_type: What the result is converted to.
        """
        self._queue = queue
        self._result_type = result_type
        self.id = added.id
        self.created = added.status is AddStatus.CREATED
        self.deduplicated = added.status is AddStatus.DEDUPLICATED
        self.fallback = False

    def __repr__(self) -> str:
        return f"<JobHandle {self.id} in {self._queue}>"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, JobHandle):
            return NotImplemented
        return (self._queue.ref, self.id) == (other._queue.ref, other.id)

    def __hash__(self) -> int:
        return hash((self._queue.ref, self.id))

    @property
    def queue(self) -> Queue:
        """The queue it is in."""
        return self._queue

    @property
    def stored_in(self) -> str:
        """Where it is stored, without a password."""
        return self._queue.engine.location

    async def job(self) -> Job:
        """Return the job as it is now.

        Raises:
            NotFoundError: It is not there any more.
        """
        job = await self._queue.get(self.id)
        if job is None:
            raise NotFoundError(f"there is no job {self.id!r} in queue {str(self._queue)!r}")
        return job

    async def state(self) -> JobState:
        """Return the job's state.

        Raises:
            NotFoundError: It is not there any more.
        """
        return (await self.job()).state

    async def progress(self) -> Any:
        """Return what its handler last reported; None if it has not.

        Raises:
            NotFoundError: It is not there any more.
        """
        return (await self.job()).progress

    async def logs(self, *, start: int = 0, limit: int = 1000) -> list[str]:
        """Return lines of its log, oldest first.

        Args:
            start: The first line's number, from 0.
            limit: How many at most.
        """
        return await self._queue.engine.logs(self._queue.ref, self.id, start=start, limit=limit)

    async def result(self, timeout: Duration | None = None) -> R:
        """Wait until the job has ended, and return what its handler returned.

        Args:
            timeout: How long to wait, in seconds; None is as long as it takes.

        Returns:
            The result, converted to the task's return type.

        Raises:
            JobFailedError: It failed.
            JobCancelledError: It was cancelled.
            JobRemovedError: It was removed before it ended, or left no record.
            ResultTimeoutError: The time is over; the job goes on.
        """
        seconds = None if timeout is None else to_ms(timeout, "timeout") / 1000
        try:
            async with asyncio.timeout(seconds):
                ending = await self._queue.results().of(self.id)
        except TimeoutError:
            raise ResultTimeoutError(
                self.id, f"job {self.id} did not end within {seconds:g} s"
            ) from None
        if ending is None:
            raise JobRemovedError(
                self.id, f"job {self.id} is not in queue {str(self._queue)!r} any more"
            )
        if ending.state is JobState.FAILED:
            kind = ending.error.type if ending.error else "Error"
            reason = ending.error.message if ending.error else "unknown"
            if kind == CANCELLED:
                raise JobCancelledError(self.id, f"job {self.id} was cancelled: {reason}")
            raise JobFailedError(self.id, kind, reason)
        return self._convert(ending.result_json)

    def _convert(self, result_json: str | None) -> R:
        if result_json is None:
            return cast("R", None)
        try:
            return cast("R", msgspec.json.decode(result_json, type=self._result_type))
        except msgspec.ValidationError as error:
            raise ValidationError("result", f"{error}; the job returned {result_json}") from None

    async def cancel(self) -> None:
        """Fail the job if it waits; ask its handler to stop if it runs.

        Raises:
            ConflictError: It has ended already.
            NotFoundError: It is not there any more.
        """
        if not await self._queue.engine.cancel(self._queue.ref, [self.id]):
            await self._refuse("cancelled")

    async def retry(self) -> None:
        """Run the job again, with all its attempts.

        Raises:
            ConflictError: It has not ended.
            NotFoundError: It is not there any more.
        """
        if not await self._queue.engine.retry(self._queue.ref, [self.id]):
            await self._refuse("retried")

    async def promote(self) -> None:
        """Let a delayed job run now.

        Raises:
            ConflictError: It is not delayed.
            NotFoundError: It is not there any more.
        """
        if not await self._queue.engine.promote(self._queue.ref, [self.id]):
            await self._refuse("promoted")

    async def remove(self) -> None:
        """Remove the job and all that is known of it, and the children that it has in BullMQ.

        Raises:
            ConflictError: It is running, or a child of it is.
            NotFoundError: It is not there any more.
        """
        if not await self._queue.engine.remove(self._queue.ref, [self.id]):
            await self._refuse("removed")

    async def _refuse(self, what: str) -> None:
        job = await self.job()
        if what == "removed" and job.state is not JobState.ACTIVE:
            raise ConflictError(f"job {self.id} cannot be removed while a child of it runs")
        raise ConflictError(f"job {self.id} is {job.state} and cannot be {what}")

    async def change_priority(self, priority: Priority | int | str) -> None:
        """Give the job another priority while it has not started.

        Args:
            priority: A name, or a number; 1 runs first, 0 is none.

        Raises:
            ConflictError: It has started.
            NotFoundError: It is not there any more.
        """
        number = Priority.parse(priority)
        await self._queue.engine.change(self._queue.ref, self.id, priority=number)

    async def change_delay(self, delay: Duration) -> None:
        """Let the job wait for a time from now while it has not started.

        Args:
            delay: The time, in seconds; 0 makes it ready.

        Raises:
            ConflictError: It has started.
            NotFoundError: It is not there any more.
        """
        delay_ms = to_ms(delay, "delay")
        await self._queue.engine.change(self._queue.ref, self.id, delay_ms=delay_ms)

    async def change_data(self, data: Any) -> None:
        """Give the job another payload; one that runs sees it at its next attempt.

        Args:
            data: Anything JSON.

        Raises:
            ConflictError: It has ended.
            NotFoundError: It is not there any more.
            ValidationError: The data have no JSON form, or are too large.
            EngineError: The store failed.
        """
        text = self._queue.encode(data)
        if self._queue.claims is not None:
            text = await self._queue.claims.check_in_data(text)
        await self._queue.engine.change(self._queue.ref, self.id, data=text)
