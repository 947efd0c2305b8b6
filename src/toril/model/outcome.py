"""What an attempt can end in: a closed set, and the one place that decides what follows."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Any, TypeAlias, assert_never

import msgspec

from toril.errors import TorilError
from toril.model import settlement
from toril.model.durations import Duration, to_ms
from toril.model.job import AttemptError, Lease
from toril.model.job_options import JobOptions
from toril.model.settlement import Settlement


class OutcomeSignal(TorilError):
    """What a handler raises, or returns, to say how its attempt ended."""


class Retry(OutcomeSignal):
    """Try again, as after an error, but not before `after`.

    It uses up an attempt. When none is left the job fails.
    """

    def __init__(self, reason: str = "the handler asked for a retry", *, after: Duration) -> None:
        """Ask for another attempt.

        Args:
            reason: What to write down as the attempt's error.
            after: How long to wait, in seconds.
        """
        super().__init__(reason)
        self.after_ms = to_ms(after, "after")


class Snooze(OutcomeSignal):
    """Come back later. It uses up no attempt and counts as no error."""

    def __init__(self, delay: Duration) -> None:
        """Ask for a later time.

        Args:
            delay: How long to wait, in seconds.
        """
        super().__init__(f"snoozed for {delay}")
        self.delay_ms = to_ms(delay, "delay")


class Cancel(OutcomeSignal):
    """Stop the job: it is not wanted any more. It fails without another attempt."""

    def __init__(self, reason: str = "cancelled by its handler") -> None:
        """Stop the job.

        Args:
            reason: Why.
        """
        super().__init__(reason)


class Unrecoverable(OutcomeSignal):
    """No attempt can succeed: the job fails at once, whatever attempts are left."""


class ErrorKind(StrEnum):
    """The types of errors that Toril itself gives attempts; others are names of exceptions."""

    BAD_ARGUMENTS = "ArgumentsInvalid"
    BAD_RESULT = "ResultNotJSON"
    CANCELLED = "Cancel"  # however that came about
    CHILDREN = "ChildrenNotCompleted"
    EXPIRED = "Expired"
    FOLLOW_UP_REFUSED = "FollowUpRefused"
    NO_HANDLER = "HandlerNotFound"
    PAYLOAD_LOST = "PayloadLost"
    PROCESS_DIED = "ProcessDied"
    STALLED = "Stalled"
    TIMEOUT = "Timeout"
    UNRECOVERABLE = "Unrecoverable"


CANCEL_REASON = "cancelled on request"
"""The message of that error when it was not the handler's own decision."""

STALL_REASON = "job stalled more than allowable limit"
"""Why a job is poison, in BullMQ's words, which Node.js services look for."""


class Succeeded(msgspec.Struct, tag=True, frozen=True):
    """The handler returned.

    Attributes:
        result_json: What it returned, as JSON; None is null.
    """

    result_json: str | None


class Errored(msgspec.Struct, tag=True, frozen=True):
    """The attempt failed; another may succeed.

    Attributes:
        error: What went wrong.
        after_ms: The wait that the handler asked for; None leaves it to the backoff.
    """

    error: AttemptError
    after_ms: int | None = None


class Discarded(msgspec.Struct, tag=True, frozen=True):
    """No further attempt is to be made: unrecoverable, cancelled, expired, or poison.

    Attributes:
        error: Why.
    """

    error: AttemptError


class Released(msgspec.Struct, tag=True, frozen=True):
    """The attempt did not count: snoozed, or interrupted by a shutdown.

    Attributes:
        delay_ms: How long the job waits.
    """

    delay_ms: int = 0


class Forfeited(msgspec.Struct, tag=True, frozen=True):
    """The lease is lost: nothing may be written, somebody else has the job."""


Outcome: TypeAlias = Succeeded | Errored | Discarded | Released | Forfeited

RetryDelay: TypeAlias = Callable[[JobOptions, int, AttemptError], int]
"""Gives the wait in milliseconds from the options, the attempts made, and the error."""


def settlement_for(
    lease: Lease, options: JobOptions, outcome: Outcome, retry_delay: RetryDelay
) -> Settlement | None:
    """Decide what an attempt's end means for its job.

    Args:
        lease: The lease the attempt ran under.
        options: The job's options.
        outcome: How it ended.
        retry_delay: Asked for the wait, where the handler did not name one.

    Returns:
        What to tell the engine; None where nothing may be written.
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
    """Return the outcome that a handler asked for by name.

    Args:
        signal: What it raised or returned.
        error: The same as an attempt's error.
    """
    match signal:
        case Retry():
            return Errored(error, signal.after_ms)
        case Snooze():
            return Released(signal.delay_ms)
        case Cancel() | Unrecoverable():
            return Discarded(error)
        case _:  # an unknown signal is an error like any other
            return Errored(error)


def is_signal(value: Any) -> bool:
    """Whether a handler's return value is a signal that it might as well have raised."""
    return isinstance(value, OutcomeSignal)
