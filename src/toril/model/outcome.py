"""The outcomes of an attempt, and the rules for how each is settled."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Any, TypeAlias, assert_never

import msgspec

from toril.errors import TorilError
from toril.model import settlement
from toril.model.durations import Duration, to_capped_ms
from toril.model.job import AttemptError, Lease
from toril.model.job_options import JobOptions
from toril.model.real_type import is_a
from toril.model.settlement import Settlement


class OutcomeSignal(TorilError):
    """The base class of signals that a handler raises or returns to choose its outcome."""


class Retry(OutcomeSignal):
    """Retry the job, as after an error, but not before `after`.

    This uses an attempt. If no attempts are left, the job fails.
    """

    def __init__(self, reason: str = "the handler asked for a retry", *, after: Duration) -> None:
        """Ask for another attempt.

        Args:
            reason: The message to store as the attempt's error.
            after: How long to wait, in seconds.
        """
        super().__init__(reason)
        self.after_ms = to_capped_ms(after, "after")


class Snooze(OutcomeSignal):
    """Run the job again later. This does not use an attempt and is not an error."""

    def __init__(self, delay: Duration) -> None:
        """Ask to run the job again later.

        Args:
            delay: How long to wait, in seconds.
        """
        super().__init__(f"snoozed for {delay}")
        self.delay_ms = to_capped_ms(delay, "delay")


class Cancel(OutcomeSignal):
    """Cancel the job because it is no longer wanted. It fails without another attempt."""

    def __init__(self, reason: str = "cancelled by its handler") -> None:
        """Cancel the job.

        Args:
            reason: Why the job is cancelled.
        """
        super().__init__(reason)


class Unrecoverable(OutcomeSignal):
    """Fail the job at once, even if attempts are left, because no attempt can succeed."""


class ErrorKind(StrEnum):
    """The error types that Toril itself assigns. All other types are names of exceptions."""

    BAD_ARGUMENTS = "ArgumentsInvalid"
    BAD_RESULT = "ResultNotJSON"
    CANCELLED = "Cancel"  # by the handler or on request
    CHILDREN = "ChildrenNotCompleted"
    EXPIRED = "Expired"
    FOLLOW_UP_REFUSED = "FollowUpRefused"
    NO_HANDLER = "HandlerNotFound"
    OUTCOME_REJECTED = "OutcomeRejected"
    PAYLOAD_LOST = "PayloadLost"
    PROCESS_DIED = "ProcessDied"
    STALLED = "Stalled"
    TIMEOUT = "Timeout"
    UNRECOVERABLE = "Unrecoverable"


CANCEL_REASON = "cancelled on request"
"""The message of a `CANCELLED` error that the handler did not raise itself."""

STALL_REASON = "job stalled more than allowable limit"
"""The error message of a poison job, in BullMQ's wording, which Node.js services look for."""


class Succeeded(msgspec.Struct, tag=True, frozen=True):
    """The handler returned.

    Attributes:
        result_json: The return value as JSON; None stands for null.
    """

    result_json: str | None


class Errored(msgspec.Struct, tag=True, frozen=True):
    """The attempt failed, but another may succeed.

    Attributes:
        error: What went wrong.
        after_ms: The delay that the handler asked for; None uses the backoff.
    """

    error: AttemptError
    after_ms: int | None = None


class Discarded(msgspec.Struct, tag=True, frozen=True):
    """No further attempt will be made: the job is unrecoverable, cancelled, expired, or poison.

    Attributes:
        error: Why no further attempt will be made.
    """

    error: AttemptError


class Released(msgspec.Struct, tag=True, frozen=True):
    """The attempt does not count: the job was snoozed, or interrupted by a shutdown.

    Attributes:
        delay_ms: How long the job waits before it may run again.
    """

    delay_ms: int = 0


class Forfeited(msgspec.Struct, tag=True, frozen=True):
    """The lease is lost: another worker may have the job, so nothing may be written."""


Outcome: TypeAlias = Succeeded | Errored | Discarded | Released | Forfeited

RetryDelay: TypeAlias = Callable[[JobOptions, int, AttemptError], int]
"""Computes the delay in milliseconds from the options, the attempts made, and the error."""


def settlement_for(
    lease: Lease, options: JobOptions, outcome: Outcome, retry_delay: RetryDelay
) -> Settlement | None:
    """Return how to settle an attempt.

    Args:
        lease: The lease the attempt ran under.
        options: The job's options.
        outcome: The attempt's outcome.
        retry_delay: Computes the delay before a retry if the handler did not set one.

    Returns:
        The settlement for the engine; None if nothing may be written.
    """
    match outcome:
        case Succeeded():
            return settlement.Complete(lease, outcome.result_json, options.keep_completed)
        case Errored():
            made = lease.attempts_made + 1
            if made >= options.attempts:
                return settlement.Fail(lease, outcome.error, options.keep_failed)
            delay = outcome.after_ms
            if delay is None:
                delay = retry_delay(options, made, outcome.error)
            return settlement.Retry(lease, outcome.error, delay)
        case Discarded():
            return settlement.Fail(lease, outcome.error, options.keep_failed)
        case Released():
            return settlement.Release(lease, outcome.delay_ms)
        case Forfeited():
            return None
        case _:
            assert_never(outcome)


def from_signal(signal: OutcomeSignal, error: AttemptError) -> Outcome:
    """Return the outcome that a handler asked for with a signal.

    Args:
        signal: What the handler raised or returned.
        error: The signal as an attempt's error.
    """
    if is_a(signal, Retry):
        return Errored(error, _delay_of(signal, "after_ms"))
    if is_a(signal, Snooze):
        delay_ms = _delay_of(signal, "delay_ms")
        return Errored(error) if delay_ms is None else Released(delay_ms)
    if is_a(signal, Cancel) or is_a(signal, Unrecoverable):
        return Discarded(error)
    return Errored(error)  # an unknown signal counts as an ordinary error


def _delay_of(signal: OutcomeSignal, name: str) -> int | None:
    """Return a signal's delay; None if the application's own subclass has broken it."""
    try:
        return to_capped_ms(getattr(signal, name) / 1000, name)
    except BaseException:  # noqa: BLE001 - a property may raise anything
        return None


def is_signal(value: Any) -> bool:
    """Return whether a handler returned a signal, which counts as if it had been raised."""
    return is_a(value, OutcomeSignal)
