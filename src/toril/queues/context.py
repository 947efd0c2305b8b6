"""The job's context: what a handler gets to inspect its job and to report progress."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextvars import ContextVar
from datetime import datetime
from functools import cached_property
from typing import Any, Protocol

from toril.model import codec
from toril.model.durations import from_epoch_ms
from toril.model.job import Lease
from toril.model.job_options import JobOptions

MAX_LINE = 4_000
"""The length of a log line, in characters."""

MAX_PROGRESS = 65_536
"""The length of a job's progress as JSON."""


def cut(text: str, most: int) -> str:
    """Return text, cut to a length; a text that was cut ends in "…".

    Args:
        text: The text.
        most: The length, in characters.
    """
    return text if len(text) <= most else text[: most - 1] + "…"


class Reporter(Protocol):
    """Receives what a handler reports. Reports are stored in batches a moment later."""

    def progress(self, lease: Lease, progress_json: str, /) -> None:
        """Receive the latest progress."""
        ...

    def line(self, lease: Lease, text: str, /) -> None:
        """Receive a line for the job's log."""
        ...


class JobContext:
    """The job that a handler is running.

    All methods may be called from coroutines, threads and processes. None of them blocks.
    """

    def __init__(
        self, lease: Lease, reporter: Reporter, is_cancelled: Callable[[], bool] | None = None
    ) -> None:
        """Create the context of a job.

        Args:
            lease: The job's lease.
            reporter: Receives progress and log lines.
            is_cancelled: Returns whether the handler should stop.
        """
        self.lease = lease
        self._reporter = reporter
        self._is_cancelled = is_cancelled or _never

    @property
    def id(self) -> str:
        """The job's id."""
        return self.lease.id

    @property
    def name(self) -> str:
        """The job's name."""
        return self.lease.name

    @property
    def queue(self) -> str:
        """The name of the job's queue."""
        return self.lease.queue.name

    @cached_property
    def data(self) -> Any:
        """The job's payload."""
        return codec.decode(self.lease.data)

    @cached_property
    def options(self) -> JobOptions:
        """The job's options."""
        return self.lease.options

    @property
    def attempt(self) -> int:
        """The number of this attempt, from 1. Released or stalled attempts do not count."""
        return self.lease.attempts_made + 1

    @property
    def attempts(self) -> int:
        """How many attempts the job has in total."""
        return self.lease.options.attempts

    @property
    def attempt_token(self) -> str:
        """A fencing token: unique to each attempt, so that other systems can refuse old ones."""
        return f"{self.lease.token}:{self.lease.id}"

    @property
    def priority(self) -> int:
        """The job's priority; 1 runs first, 0 means none."""
        return self.lease.priority

    @property
    def tags(self) -> tuple[str, ...]:
        """The job's tags."""
        return self.lease.options.tags

    @property
    def metadata(self) -> dict[str, Any]:
        """The job's metadata, which is stored next to the payload."""
        return self.options.metadata or {}

    @property
    def correlation_id(self) -> str | None:
        """The id that links the job to the request or process it belongs to."""
        return self.lease.options.correlation_id

    @property
    def created_at(self) -> datetime:
        """When the job was added."""
        return from_epoch_ms(self.lease.created_ms)

    @property
    def cancelled(self) -> bool:
        """Whether the handler should stop, for example after a cancel request or a timeout.

        A coroutine is interrupted anyway; a handler in a thread has to check this.
        """
        return self._is_cancelled()

    def progress(self, value: Any) -> None:
        """Report the job's progress.

        Args:
            value: Any JSON value, for example a percentage. Only the latest one is kept. A value
                with more than 65,536 bytes of JSON is cut, and stored as text that ends in "…".

        Raises:
            ValidationError: The value cannot be encoded as JSON.
        """
        text = codec.encode_reported(value, "progress", sys.maxsize)
        if len(text) > MAX_PROGRESS:
            start = value if isinstance(value, str) else text
            text = codec.encode_reported(cut(start, MAX_PROGRESS // 2), "progress", sys.maxsize)
        self._reporter.progress(self.lease, text)

    def log(self, line: str) -> None:
        """Add a line to the job's log.

        Args:
            line: The text; line breaks are kept. After 4,000 characters it is cut and ends in "…".
                A job's log keeps the newest 10,000 lines.
        """
        # Stores do not accept lone surrogates, which can occur in file names.
        text = cut(str.__str__(str(line)), MAX_LINE)  # a class of its own may have odd methods
        self._reporter.line(self.lease, text.encode("utf-8", "replace").decode())


def _never() -> bool:
    return False


_current: ContextVar[JobContext] = ContextVar("toril_job")


def current_job() -> JobContext:
    """Return the job that the calling handler is running.

    Raises:
        LookupError: The caller is not running inside a handler.
    """
    return _current.get()


def set_current_job(context: JobContext) -> None:
    """Set the job that `current_job` returns in the current `contextvars` context."""
    _current.set(context)
