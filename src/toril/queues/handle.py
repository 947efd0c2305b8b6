"""A hold on one job: what it is doing, how it ended, and a way to stop it."""

from __future__ import annotations

import asyncio
from typing import Any, Generic, Protocol, TypeVar, cast

import msgspec

from toril.engine.contract.engine import Engine
from toril.engine.contract.hot_path import Added, AddStatus
from toril.engine.contract.rules import no_such_job
from toril.errors import (
    ConflictError,
    JobCancelledError,
    JobFailedError,
    JobRemovedError,
    ResultTimeoutError,
    ValidationError,
)
from toril.model.durations import Duration, to_ms
from toril.model.job import Job, QueueRef
from toril.model.options import Priority
from toril.model.outcome import ErrorKind
from toril.model.state import JobState
from toril.queues.results import Results

R = TypeVar("R")


class Origin(Protocol):
    """What a handle needs of its queue."""

    @property
    def ref(self) -> QueueRef:
        """The queue."""
        ...

    @property
    def engine(self) -> Engine:
        """Where its jobs live."""
        ...

    @property
    def results(self) -> Results:
        """Tells how its jobs ended."""
        ...

    def encode(self, data: Any) -> str:
        """Return a payload as JSON."""
        ...

    async def check_in(self, data: str) -> str:
        """Return a payload as its job is to carry it."""
        ...


class JobHandle(Generic[R]):
    """A job that was added. Two handles are equal if they hold the same job.

    Attributes:
        id: The job's id.
        created: False if the call found an existing job; the id is that job's.
        deduplicated: Another job holds the deduplication key; the id is that job's.
        fallback: The job went to a local spool because the main store was away.
        stored_in: The store that has the job, without a password.
    """

    __slots__ = (
        "_origin",
        "_result_type",
        "created",
        "deduplicated",
        "fallback",
        "id",
        "stored_in",
    )

    def __init__(self, origin: Origin, added: Added, result_type: Any = Any) -> None:
        """Hold a job.

        Args:
            origin: Its queue.
            added: What the engine answered.
            result_type: The type to which the result is converted.
        """
        self._origin = origin
        self._result_type = result_type
        self.stored_in = added.stored_in
        self.id = added.id
        self.created = added.status is AddStatus.CREATED
        self.deduplicated = added.status is AddStatus.DEDUPLICATED
        self.fallback = False

    def __repr__(self) -> str:
        return f"<JobHandle {self.id} in {self.queue}>"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, JobHandle):
            return NotImplemented
        return (self.queue, self.id) == (other.queue, other.id)

    def __hash__(self) -> int:
        return hash((self.queue, self.id))

    @property
    def queue(self) -> QueueRef:
        """The queue it is in."""
        return self._origin.ref

    @property
    def _engine(self) -> Engine:
        return self._origin.engine

    async def job(self) -> Job:
        """Return the job as it is now.

        Raises:
            NotFoundError: It no longer exists.
        """
        (job,) = await self._engine.jobs.get(self.queue, [self.id])
        if job is None:
            raise no_such_job(self.queue, self.id)
        return job

    async def state(self) -> JobState:
        """Return the job's state.

        Raises:
            NotFoundError: It no longer exists.
        """
        return (await self.job()).state

    async def progress(self) -> Any:
        """Return what its handler last reported; None if it has not.

        Raises:
            NotFoundError: It no longer exists.
        """
        return (await self.job()).progress

    async def logs(self, *, start: int = 0, limit: int = 1000) -> list[str]:
        """Return lines of its log, oldest first.

        Args:
            start: The first line's number, from 0.
            limit: How many at most.
        """
        return await self._engine.jobs.logs(self.queue, self.id, start=start, limit=limit)

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
                ending = await self._origin.results.of(self.queue, self.id)
        except TimeoutError:
            raise ResultTimeoutError(
                self.id, f"job {self.id} did not end within {seconds:g} s"
            ) from None
        if ending is None:
            raise JobRemovedError(
                self.id, f"job {self.id} is not in queue {str(self.queue)!r} any more"
            )
        if ending.state is JobState.FAILED:
            kind = ending.error.type if ending.error else "Error"
            reason = ending.error.message if ending.error else "unknown"
            if kind == ErrorKind.CANCELLED:
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
            NotFoundError: It no longer exists.
        """
        if not await self._engine.jobs.cancel(self.queue, [self.id]):
            await self._refuse("cancelled")

    async def retry(self) -> None:
        """Run the job again, with all its attempts.

        Raises:
            ConflictError: It has not ended.
            NotFoundError: It no longer exists.
        """
        if not await self._engine.jobs.retry(self.queue, [self.id]):
            await self._refuse("retried")

    async def promote(self) -> None:
        """Let a delayed job run now.

        Raises:
            ConflictError: It is not delayed.
            NotFoundError: It no longer exists.
        """
        if not await self._engine.jobs.promote(self.queue, [self.id]):
            await self._refuse("promoted")

    async def remove(self) -> None:
        """Remove the job and all that is known of it, and the children that it has in BullMQ.

        Raises:
            ConflictError: It is running, or a child of it is.
            NotFoundError: It no longer exists.
        """
        if not await self._engine.jobs.remove(self.queue, [self.id]):
            if await self.state() is not JobState.ACTIVE:
                raise ConflictError(f"job {self.id} cannot be removed while a child of it runs")
            await self._refuse("removed")

    async def _refuse(self, what: str) -> None:
        raise ConflictError(f"job {self.id} is {await self.state()} and cannot be {what}")

    async def change_priority(self, priority: Priority | int | str) -> None:
        """Give the job another priority while it has not started.

        Args:
            priority: A name, or a number; 1 runs first, 0 is none.

        Raises:
            ConflictError: It has started.
            NotFoundError: It no longer exists.
        """
        number = Priority.parse(priority)
        await self._engine.jobs.change(self.queue, self.id, priority=number)

    async def change_delay(self, delay: Duration) -> None:
        """Let the job wait for a time from now while it has not started.

        Args:
            delay: The time, in seconds; 0 makes it ready.

        Raises:
            ConflictError: It has started.
            NotFoundError: It no longer exists.
        """
        delay_ms = to_ms(delay, "delay")
        await self._engine.jobs.change(self.queue, self.id, delay_ms=delay_ms)

    async def change_data(self, data: Any) -> None:
        """Give the job another payload; one that runs sees it at its next attempt.

        Args:
            data: Anything JSON.

        Raises:
            ConflictError: It has ended.
            NotFoundError: It no longer exists.
            ValidationError: The data have no JSON form, or are too large.
            EngineError: The store failed.
        """
        text = await self._origin.check_in(self._origin.encode(data))
        await self._engine.jobs.change(self.queue, self.id, data=text)
