"""What a job is: before it is stored, while it is held, and as it is looked at."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from toril.model import codec
from toril.model.durations import from_epoch_ms
from toril.model.job_options import JobOptions, decode_options
from toril.model.state import JobState

DEFAULT_NAME = "__default__"
"""The name of a job that was given none."""

DEFAULT_PREFIX = "bull"
"""BullMQ's own prefix: Node.js services find our queues without being told."""


class QueueRef(NamedTuple):
    """A queue: its prefix (the bounded context it belongs to) and its name, unique together."""

    prefix: str
    name: str

    def __str__(self) -> str:
        """Return the name, with the prefix before it where that is not the usual one."""
        return self.name if self.prefix == DEFAULT_PREFIX else f"{self.prefix}:{self.name}"


# gc=False below: what holds only text and numbers is in no cycle, and thousands of them would
# make the collector run.


class NewJob(msgspec.Struct, frozen=True, gc=False):
    """A job to be added.

    Attributes:
        id: The caller's id or one that Toril made.
        name: What kind of work it is.
        data: Its payload as JSON.
        options: Its options.
        options_json: The same as stored; made once for all jobs that share options.
    """

    id: str
    name: str
    data: str
    options: JobOptions
    options_json: str


class Lease(msgspec.Struct, frozen=True, gc=False):
    """A job that a worker holds for a time. Only the bearer of its token can settle it.

    Attributes:
        queue: The queue.
        id: The job.
        token: The fencing token; a new one for each lease of the job.
        name: What kind of work it is.
        data: The payload as JSON.
        options_json: The options as stored.
        created_ms: When it was added, in milliseconds since 1970.
        started_ms: When this lease began, by the store's clock.
        attempts_made: The attempts that have ended before this one.
        attempts_started: How often it was picked up, this time included.
        stalls: How often its worker died.
        priority: 0 is none, 1 runs first.
        deferred_failure: Why it must fail without running; None lets it run.
        is_tied: Its end may concern others: it holds a deduplication key, or has a parent.
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
    is_tied: bool = True

    @property
    def options(self) -> JobOptions:
        """The options."""
        return decode_options(self.options_json)


class AttemptError(msgspec.Struct, frozen=True, gc=False):
    """An attempt that failed.

    Attributes:
        attempt: Its number, from 1.
        type: The exception's class name.
        message: Its message.
        stack: The traceback as text.
        started_ms: When it began, in milliseconds since 1970; None if it never ran.
        ended_ms: When it ended.
    """

    attempt: int
    type: str
    message: str
    stack: str = ""
    started_ms: int | None = None
    ended_ms: int | None = None


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A job as it was when it was looked at.

    Attributes:
        queue: The queue.
        id: The job.
        name: What kind of work it is.
        data_json: The payload as JSON.
        options: Its options.
        state: Where it is.
        priority: 0 is none, 1 runs first.
        created_ms: When it was added, in milliseconds since 1970; so all that end in _ms.
        due_ms: When a delayed job may run.
        started_ms: When its last attempt began.
        finished_ms: When it completed or failed.
        attempts_made: The attempts that have ended.
        attempts_started: How often it was picked up.
        stalls: How often its worker died.
        progress_json: What the handler last reported, as JSON.
        result_json: What the handler returned, as JSON.
        errors: Each attempt that failed, oldest first.
        worker: Who holds it.
        cancel_requested: Somebody asked the handler to stop.
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
        """What the handler returned; None as long as it has not."""
        return None if self.result_json is None else codec.decode(self.result_json)

    @property
    def progress(self) -> Any:
        """What the handler last reported; None if it has not."""
        return None if self.progress_json is None else codec.decode(self.progress_json)

    @property
    def failed_reason(self) -> str | None:
        """The message of the last error of a failed job."""
        return self.errors[-1].message if self.errors and self.state is JobState.FAILED else None

    @property
    def tags(self) -> tuple[str, ...]:
        """The words to find it by."""
        return self.options.tags

    @property
    def created_at(self) -> datetime:
        """When it was added."""
        return from_epoch_ms(self.created_ms)

    @property
    def due_at(self) -> datetime | None:
        """When a delayed job may run."""
        return None if self.due_ms is None else from_epoch_ms(self.due_ms)

    @property
    def started_at(self) -> datetime | None:
        """When its last attempt began."""
        return None if self.started_ms is None else from_epoch_ms(self.started_ms)

    @property
    def finished_at(self) -> datetime | None:
        """When it completed or failed."""
        return None if self.finished_ms is None else from_epoch_ms(self.finished_ms)
