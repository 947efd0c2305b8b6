"""How a worker gives a job back: the closed set of what a lease can end in, as engines see it.

A settlement may carry follow-ups: jobs that the engine adds in the same atomic step, if and only
if the settlement is accepted. Dead letters, chains and workflows are made of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

import msgspec

from toril.model.job import AttemptError, Lease, NewJob, QueueRef
from toril.model.options import Keep


class FollowUp(msgspec.Struct, frozen=True, gc=False):
    """A job that is added with a settlement.

    Attributes:
        queue: The queue it goes to.
        job: The job. Its id should come from `follow_up_id`, so that repeating the settlement
            adds nothing.
        with_errors: The engine adds the errors of all attempts to the payload, which is a JSON
            object, as `errors`: attempt, type, message, stack, started_ms, ended_ms.
    """

    queue: QueueRef
    job: NewJob
    with_errors: bool = False


def follow_up_id(lease: Lease, place: int = 0) -> str:
    """Return the id of a settlement's follow-up: the same whenever it is settled again.

    Args:
        lease: The lease of the settlement.
        place: Which of its follow-ups, from 0.
    """
    text = f"{lease.queue.prefix}:{lease.queue.name}:{lease.id}:{lease.token}:{place}"
    return f"f{hashlib.sha256(text.encode()).hexdigest()[:25]}"


class Complete(msgspec.Struct, frozen=True, gc=False):
    """The job is done.

    Attributes:
        lease: The lease it was done under.
        result_json: What the handler returned, as JSON; None is null.
        keep: Which completed jobs are kept after this one; None is all.
        then: Jobs to add in the same step.
    """

    lease: Lease
    result_json: str | None = None
    keep: Keep | None = None
    then: tuple[FollowUp, ...] = ()


class Fail(msgspec.Struct, frozen=True, gc=False):
    """The job failed for good.

    Attributes:
        lease: The lease.
        error: The error that ended it.
        keep: Which failed jobs are kept after this one; None is all.
        then: Jobs to add in the same step.
    """

    lease: Lease
    error: AttemptError
    keep: Keep | None = None
    then: tuple[FollowUp, ...] = ()


class Retry(msgspec.Struct, frozen=True, gc=False):
    """The attempt failed; the job is tried again.

    Attributes:
        lease: The lease.
        error: What went wrong.
        delay_ms: How long to wait before the next attempt.
    """

    lease: Lease
    error: AttemptError
    delay_ms: int = 0


class Release(msgspec.Struct, frozen=True, gc=False):
    """The job is given back without using up an attempt.

    Attributes:
        lease: The lease.
        delay_ms: How long it waits; 0 puts it before the others that wait.
    """

    lease: Lease
    delay_ms: int = 0


Settlement: TypeAlias = Complete | Fail | Retry | Release

SettlementHook: TypeAlias = Callable[[Settlement], Settlement]
"""Returns a settlement with follow-ups on it, or as it was. Pure: it may run more than once."""


def follow_ups_of(settlements: Sequence[Settlement]) -> Iterator[FollowUp]:
    """Yield the follow-ups of settlements, in order."""
    for settlement in settlements:
        if isinstance(settlement, Complete | Fail):
            yield from settlement.then
