"""Settlements: how a worker tells an engine what became of a leased job.

A settlement may carry follow-ups: jobs that the engine adds in the same atomic step, if and only
if the settlement is accepted. Dead letters, chains and workflows are built on them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

import msgspec

from toril.model.job import AttemptError, Lease, NewJob, QueueRef
from toril.model.options import Keep


class FollowUp(msgspec.Struct, frozen=True, gc=False):
    """A job to add in the same step as a settlement.

    Attributes:
        queue: The queue to add the job to.
        job: The job. Its id should come from `follow_up_id`, so that repeating the settlement
            does not add it again.
        with_errors: Whether the engine adds the errors of all attempts to the payload, which
            must be a JSON object, as `errors`: attempt, type, message, stack, started_ms,
            ended_ms.
    """

    queue: QueueRef
    job: NewJob
    with_errors: bool = False


def follow_up_id(lease: Lease, place: int = 0) -> str:
    """Return the id of a settlement's follow-up. Repeating the settlement yields the same id.

    Args:
        lease: The settlement's lease.
        place: The follow-up's index in the settlement, from 0.
    """
    text = f"{lease.queue.prefix}:{lease.queue.name}:{lease.id}:{lease.token}:{place}"
    return f"f{hashlib.sha256(text.encode()).hexdigest()[:25]}"


class Complete(msgspec.Struct, frozen=True, gc=False):
    """Complete the job.

    Attributes:
        lease: The lease the job ran under.
        result_json: The handler's return value as JSON; None stands for null.
        keep: The retention to apply to completed jobs; None keeps all.
        then: Follow-ups.
    """

    lease: Lease
    result_json: str | None = None
    keep: Keep | None = None
    then: tuple[FollowUp, ...] = ()


class Fail(msgspec.Struct, frozen=True, gc=False):
    """Fail the job for good.

    Attributes:
        lease: The lease the job ran under.
        error: The error of the last attempt.
        keep: The retention to apply to failed jobs; None keeps all.
        then: Follow-ups.
    """

    lease: Lease
    error: AttemptError
    keep: Keep | None = None
    then: tuple[FollowUp, ...] = ()


class Retry(msgspec.Struct, frozen=True, gc=False):
    """Retry the job after a failed attempt.

    Attributes:
        lease: The lease the job ran under.
        error: What went wrong.
        delay_ms: How long to wait before the next attempt.
    """

    lease: Lease
    error: AttemptError
    delay_ms: int = 0


class Release(msgspec.Struct, frozen=True, gc=False):
    """Give the job back without using an attempt.

    Attributes:
        lease: The lease the job ran under.
        delay_ms: How long the job waits; 0 puts it ahead of the other waiting jobs.
    """

    lease: Lease
    delay_ms: int = 0


Settlement: TypeAlias = Complete | Fail | Retry | Release

SettlementHook: TypeAlias = Callable[[Settlement], Settlement]
"""Returns the settlement, possibly with follow-ups added. Must be pure: it may run repeatedly."""


def follow_ups_of(settlements: Sequence[Settlement]) -> Iterator[FollowUp]:
    """Yield the follow-ups of all settlements, in order."""
    for settlement in settlements:
        if isinstance(settlement, Complete | Fail):
            yield from settlement.then
