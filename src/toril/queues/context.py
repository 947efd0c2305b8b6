"""What a handler is given to know its job by, and to report with."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from datetime import datetime
from functools import cached_property
from typing import Any, Protocol

from toril.model import codec
from toril.model.durations import from_epoch_ms
from toril.model.job import Lease
from toril.model.job_options import JobOptions


class Reporter(Protocol):
    """Takes what a handler reports; it is stored a moment later, many reports at once."""

    def progress(self, lease: Lease, progress_json: str, /) -> None:
        """Take the latest progress."""
        ...

    def line(self, lease: Lease, text: str, /) -> None:
        """Take a line for the job's log."""
        ...


class JobContext:
    """The job that a handler runs for.

    The methods may be called from coroutines, threads and processes alike: none waits.
    """

    def __init__(
        self, lease: Lease, reporter: Reporter, is_cancelled: Callable[[], bool] | None = None
    ) -> None:
        """Wrap a lease.

        Args:
            lease: The lease.
            reporter: Takes progress and log lines.
            is_cancelled: Tells whether the handler should stop.
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
        """What kind of work it is."""
        return self.lease.name

    @property
    def queue(self) -> str:
        """The name of the queue it came from."""
        return self.lease.queue.name

    @cached_property
    def data(self) -> Any:
        """The payload."""
        return codec.decode(self.lease.data)

    @cached_property
    def options(self) -> JobOptions:
        """The options."""
        return self.lease.options

    @property
    def attempt(self) -> int:
        """Which attempt this is, from 1. One that did not count is not counted."""
        return self.lease.attempts_made + 1

    @property
    def attempts(self) -> int:
        """How many attempts the job has in all."""
        return self.lease.options.attempts

    @property
    def attempt_token(self) -> str:
        """The fencing token: different for every attempt, so that a store can refuse an old one."""
        return f"{self.lease.token}:{self.lease.id}"

    @property
    def priority(self) -> int:
        """0 is none, 1 runs first."""
        return self.lease.priority

    @property
    def tags(self) -> tuple[str, ...]:
        """The words to find it by."""
        return self.lease.options.tags

    @property
    def metadata(self) -> dict[str, Any]:
        """What travels with it beside the payload."""
        return self.options.metadata or {}

    @property
    def correlation_id(self) -> str | None:
        """What ties it to the request or process it belongs to."""
        return self.lease.options.correlation_id

    @property
    def created_at(self) -> datetime:
        """When it was added."""
        return from_epoch_ms(self.lease.created_ms)

    @property
    def cancelled(self) -> bool:
        """Whether the handler should stop: a cancel was asked for, or its time is over.

        A coroutine is interrupted anyway; a thread has to look.
        """
        return self._is_cancelled()

    def progress(self, value: Any) -> None:
        """Report how far the job is.

        Args:
            value: Anything JSON, for example a percentage. The last one counts.

        Raises:
            ValidationError: It has no JSON form.
        """
        self._reporter.progress(self.lease, codec.encode(value, "progress"))

    def log(self, line: str) -> None:
        """Add a line to the job's log.

        Args:
            line: The text; a line break is kept.
        """
        # A store takes no lone surrogates, which the names of files can have.
        self._reporter.line(self.lease, str(line).encode("utf-8", "replace").decode())


def _never() -> bool:
    return False


_current: ContextVar[JobContext] = ContextVar("toril_job")


def current_job() -> JobContext:
    """Return the job that the calling handler runs for.

    Raises:
        LookupError: No handler is running here.
    """
    return _current.get()


def set_current_job(context: JobContext) -> None:
    """Make a job the one that `current_job` returns, in this context."""
    _current.set(context)
