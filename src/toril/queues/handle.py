"""A handle on one job, to inspect it, await its result, and control it."""

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
from toril.model import codec
from toril.model.durations import Duration, to_delay_ms, to_ms
from toril.model.job import Job, QueueRef
from toril.model.options import Priority
from toril.model.outcome import ErrorKind
from toril.model.state import JobState
from toril.queues.results import Results

R = TypeVar("R")


class Origin(Protocol):
    """The part of a queue that a handle needs."""

    @property
    def ref(self) -> QueueRef:
        """The queue."""
        ...

    @property
    def engine(self) -> Engine:
        """The engine that stores the queue's jobs."""
        ...

    @property
    def results(self) -> Results:
        """Waits for the results of the queue's jobs."""
        ...

    def encode(self, data: Any) -> str:
        """Return a payload as JSON."""
        ...

    async def check_in(self, data: str) -> str:
        """Return a payload, or a claim on it if it is large."""
        ...


class JobHandle(Generic[R]):
    """A handle on a job. Two handles are equal if they refer to the same job.

    Attributes:
        id: The job's id.
        created: False if the job already existed; the id is then the existing job's.
        deduplicated: Whether another job holds the deduplication key; the id is then that job's.
        fallback: Whether the job went to a local spool because the main store was unavailable.
        stored_in: The location of the store that has the job.
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
        """Create a handle.

        Args:
            origin: The job's queue.
            added: The engine's answer to the add.
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
        """The job's queue."""
        return self._origin.ref

    @property
    def _engine(self) -> Engine:
        return self._origin.engine

    async def job(self) -> Job:
        """Return the job as it is now.

        Raises:
            NotFoundError: The job no longer exists.
        """
        (job,) = await self._engine.jobs.get(self.queue, [self.id])
        if job is None:
            raise no_such_job(self.queue, self.id)
        return job

    async def state(self) -> JobState:
        """Return the job's state.

        Raises:
            NotFoundError: The job no longer exists.
        """
        return (await self.job()).state

    async def progress(self) -> Any:
        """Return the progress that the handler last reported; None if it has not reported any.

        Raises:
            NotFoundError: The job no longer exists.
        """
        return (await self.job()).progress

    async def logs(self, *, start: int = 0, limit: int = 1000) -> list[str]:
        """Return lines of the job's log, oldest first.

        Args:
            start: The number of the first line, from 0.
            limit: The maximum number of lines.
        """
        return await self._engine.jobs.logs(self.queue, self.id, start=start, limit=limit)

    async def result(self, timeout: Duration | None = None) -> R:
        """Wait until the job has finished, and return its result.

        Args:
            timeout: How long to wait, in seconds; None means without a limit.

        Returns:
            The result, converted to the task's return type.

        Raises:
            JobFailedError: The job failed.
            JobCancelledError: The job was cancelled.
            JobRemovedError: The job was removed before it finished, or left no record.
            ResultTimeoutError: The job did not finish in time; it continues.
            ValidationError: The result does not fit the task's return type.
        """
        seconds = None if timeout is None else to_ms(timeout, "timeout") / 1000
        try:
            async with asyncio.timeout(seconds):
                ending = await self._origin.results.of(self.queue, self.id)
        except TimeoutError:
            raise ResultTimeoutError(
                self.id, f"job {self.id} did not finish within {seconds:g} s"
            ) from None
        if ending is None:
            raise JobRemovedError(
                self.id, f"job {self.id} is no longer in queue {str(self.queue)!r}"
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
            return cast("R", codec.decode_as(result_json, self._result_type))
        except msgspec.ValidationError as error:
            raise ValidationError("result", f"{error}; the job returned {result_json}") from None

    async def cancel(self) -> None:
        """Cancel the job: it fails if it has not started; if it runs, its handler is stopped.

        Raises:
            ConflictError: The job has already finished.
            NotFoundError: The job no longer exists.
        """
        if not await self._engine.jobs.cancel(self.queue, [self.id]):
            await self._refuse("cancelled")

    async def retry(self) -> None:
        """Run the job again, with all of its attempts.

        Raises:
            ConflictError: The job has not finished.
            NotFoundError: The job no longer exists.
        """
        if not await self._engine.jobs.retry(self.queue, [self.id]):
            await self._refuse("retried")

    async def promote(self) -> None:
        """Make a delayed job ready now.

        Raises:
            ConflictError: The job is not delayed.
            NotFoundError: The job no longer exists.
        """
        if not await self._engine.jobs.promote(self.queue, [self.id]):
            await self._refuse("promoted")

    async def remove(self) -> None:
        """Remove the job with all its data, and the children that it has in BullMQ.

        Raises:
            ConflictError: The job or one of its children is running.
            NotFoundError: The job no longer exists.
        """
        if not await self._engine.jobs.remove(self.queue, [self.id]):
            if await self.state() is not JobState.ACTIVE:
                raise ConflictError(
                    f"job {self.id} cannot be removed while one of its children is running"
                )
            await self._refuse("removed")

    async def _refuse(self, what: str) -> None:
        raise ConflictError(f"job {self.id} is {await self.state()} and cannot be {what}")

    async def change_priority(self, priority: Priority | int | str) -> None:
        """Change the job's priority. The job must not have started.

        Args:
            priority: A name or a number; 1 runs first, 0 means none.

        Raises:
            ConflictError: The job has started.
            NotFoundError: The job no longer exists.
        """
        number = Priority.parse(priority)
        await self._engine.jobs.change(self.queue, self.id, priority=number)

    async def change_delay(self, delay: Duration) -> None:
        """Change the job's delay. The job must not have started.

        Args:
            delay: The delay from now, in seconds; 0 makes the job ready.

        Raises:
            ConflictError: The job has started.
            NotFoundError: The job no longer exists.
        """
        delay_ms = to_delay_ms(delay, "delay")
        await self._engine.jobs.change(self.queue, self.id, delay_ms=delay_ms)

    async def change_data(self, data: Any) -> None:
        """Change the job's payload. If the job is running, the next attempt sees the change.

        Args:
            data: Any JSON value.

        Raises:
            ConflictError: The job has finished.
            NotFoundError: The job no longer exists.
            ValidationError: The data cannot be encoded as JSON, or are too large.
            EngineError: The store failed.
        """
        text = await self._origin.check_in(self._origin.encode(data))
        await self._engine.jobs.change(self.queue, self.id, data=text)
