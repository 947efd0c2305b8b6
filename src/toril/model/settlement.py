"""How a worker gives a job back: the closed set of what a lease can end in, as engines see it."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from toril.model.job import AttemptError, Lease
from toril.model.options import Keep


class Complete(msgspec.Struct, frozen=True, gc=False):
    """The job is done.

    Attributes:
        lease: The lease it was done under.
        result_json: What the handler returned, as JSON; None is null.
        keep: What stays of completed jobs after this one; None is all.
    """

    lease: Lease
    result_json: str | None = None
    keep: Keep | None = None


class Fail(msgspec.Struct, frozen=True, gc=False):
    """The job failed for good.

    Attributes:
        lease: The lease.
        error: The error that ended it.
        keep: What stays of failed jobs after this one; None is all.
    """

    lease: Lease
    error: AttemptError
    keep: Keep | None = None


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
