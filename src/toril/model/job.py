"""A job before it is stored, while a worker holds it, and as it is inspected."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from toril.model import codec
from toril.model.durations import from_epoch_ms
from toril.model.job_options import JobOptions, decode_options
from toril.model.state import JobState

DEFAULT_NAME = "__default__"
"""The name of jobs that are added without one."""

DEFAULT_PREFIX = "bull"
"""BullMQ's default prefix, so that Node.js services find Toril's queues without configuration."""


class QueueRef(NamedTuple):
    """Identifies a queue by its prefix (the bounded context it belongs to) and its name."""

    prefix: str
    name: str

    def __str__(self) -> str:
        """Return the name, preceded by the prefix unless that is the default one."""
        return self.name if self.prefix == DEFAULT_PREFIX else f"{self.prefix}:{self.name}"


# gc=False below: objects that hold only text and numbers cannot form cycles, and thousands of
# them would trigger the garbage collector.


class NewJob(msgspec.Struct, frozen=True, gc=False):
    """A job to add.

    Attributes:
        id: The caller's id, or one that Toril generated.
        name: The job's name.
        data: The payload as JSON.
        options: The job's options.
        options_json: The options as stored; encoded once for all jobs that share them.
    """

    id: str
    name: str
    data: str
    options: JobOptions
    options_json: str


class Lease(msgspec.Struct, frozen=True, gc=False):
    """The right to run a job for a time. Only a worker that has the token can settle the job.

    Attributes:
        queue: The job's queue.
        id: The job's id.
        token: The lease token; each lease of a job has a new one.
        name: The job's name.
        data: The payload as JSON.
        options_json: The options as stored.
        created_ms: When the job was added, in milliseconds since 1970.
        started_ms: When this lease began, by the store's clock.
        attempts_made: How many attempts ended before this one.
        attempts_started: How often the job was fetched, including this time.
        stalls: How often the job's worker died.
        priority: 0 means no priority; 1 runs first.
        deferred_failure: Why the job must fail without running; None if it may run.
    """

    queue: QueueRef
    id: str
    token: str
    name: str
    data: str
    options_json: str
    created_ms: int
    started_ms: int
    attempts_made: int
    attempts_started: int
    stalls: int
    priority: int
    deferred_failure: str | None

    @property
    def options(self) -> JobOptions:
        """The job's options."""
        return decode_options(self.options_json)


class AttemptError(msgspec.Struct, frozen=True, gc=False):
    """The error of a failed attempt.

    Attributes:
        attempt: The attempt's number, from 1.
        type: The exception's class name.
        message: The exception's message.
        stack: The traceback as text.
        started_ms: When the attempt began, in milliseconds since 1970; None if it never ran.
        ended_ms: When the attempt ended, in milliseconds since 1970.
    """

    attempt: int
    type: str
    message: str
    stack: str = ""
    started_ms: int | None = None
    ended_ms: int | None = None


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot of a stored job. Fields that end in `_ms` are milliseconds since 1970.

    Attributes:
        queue: The job's queue.
        id: The job's id.
        name: The job's name.
        data_json: The payload as JSON.
        options: The job's options.
        state: The job's state.
        priority: 0 means no priority; 1 runs first.
        created_ms: When the job was added.
        due_ms: When a delayed job may run.
        started_ms: When the last attempt began.
        finished_ms: When the job completed or failed.
        attempts_made: How many attempts have ended.
        attempts_started: How often the job was fetched.
        stalls: How often the job's worker died.
        progress_json: The progress that the handler last reported, as JSON.
        result_json: The handler's return value, as JSON.
        errors: The errors of failed attempts, oldest first.
        worker: The worker that holds the job.
        cancel_requested: Whether the handler was asked to stop.
    """

    queue: QueueRef
    id: str
    name: str
    data_json: str
    options: JobOptions
    state: JobState
    priority: int
    created_ms: int
    due_ms: int | None = None
    started_ms: int | None = None
    finished_ms: int | None = None
    attempts_made: int = 0
    attempts_started: int = 0
    stalls: int = 0
    progress_json: str | None = None
    result_json: str | None = None
    errors: tuple[AttemptError, ...] = ()
    worker: str | None = None
    cancel_requested: bool = False

    @property
    def data(self) -> Any:
        """The payload."""
        return codec.decode(self.data_json)

    @property
    def result(self) -> Any:
        """The handler's return value; None until it has returned."""
        return None if self.result_json is None else codec.decode(self.result_json)

    @property
    def progress(self) -> Any:
        """The progress that the handler last reported; None if it has not reported any."""
        return None if self.progress_json is None else codec.decode(self.progress_json)

    @property
    def failed_reason(self) -> str | None:
        """The message of the last error, if the job failed."""
        return self.errors[-1].message if self.errors and self.state is JobState.FAILED else None

    @property
    def tags(self) -> tuple[str, ...]:
        """The job's tags."""
        return self.options.tags

    @property
    def created_at(self) -> datetime:
        """When the job was added."""
        return from_epoch_ms(self.created_ms)

    @property
    def due_at(self) -> datetime | None:
        """When a delayed job may run."""
        return None if self.due_ms is None else from_epoch_ms(self.due_ms)

    @property
    def started_at(self) -> datetime | None:
        """When the last attempt began."""
        return None if self.started_ms is None else from_epoch_ms(self.started_ms)

    @property
    def finished_at(self) -> datetime | None:
        """When the job completed or failed."""
        return None if self.finished_ms is None else from_epoch_ms(self.finished_ms)
