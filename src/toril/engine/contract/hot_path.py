"""What the hot path takes and returns: adding, exchanging, keeping leases."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from enum import StrEnum
from typing import NewType, Protocol

import msgspec

from toril.model.job import Lease

WakeToken = NewType("WakeToken", int)
"""The state of a store's wake-ups at an exchange: work that arrived since then ends a wait at
once. Opaque. An engine that keeps wake-ups until they are consumed always returns the same."""


class Batch(msgspec.Struct, frozen=True):
    """Identifies a batch by producer and sequence number, so that sending it twice adds it once.

    Attributes:
        producer: The producer's id.
        sequence: Grows by one with each batch; a repeated batch keeps its number.
    """

    producer: str
    sequence: int


class AddStatus(StrEnum):
    """Whether a job was added."""

    CREATED = "created"
    DUPLICATE = "duplicate"  # a job with this id already exists
    DEDUPLICATED = "deduplicated"  # another job holds its deduplication key


class Added(msgspec.Struct, frozen=True, gc=False):
    """The result of adding one job.

    Attributes:
        id: The job that counts: the new one, or the existing one.
        status: Whether it is new.
        stored_in: The store that has it, without a password.
    """

    id: str
    status: AddStatus
    stored_in: str


class Fetch(msgspec.Struct, frozen=True):
    """What a worker asks for.

    Attributes:
        limit: How many jobs it has room for.
        worker: Its id; lease tokens start with it.
        lease_ms: How long it holds a job without renewing.
    """

    limit: int
    worker: str
    lease_ms: int


class Refusal(StrEnum):
    """Why a settlement changed nothing."""

    MISSING = "missing"  # the job no longer exists
    LEASE_LOST = "lease-lost"  # the lease ran out, or another worker has the job
    OPEN_CHILDREN = "open-children"  # it cannot complete while it has open children
    FAILED_CHILDREN = "failed-children"  # it cannot complete because children failed


class Exchange(msgspec.Struct, frozen=True):
    """The answer to an exchange.

    Attributes:
        results: For each settlement, in order: None if it was accepted, else the refusal.
        leases: The jobs that the worker now holds, in the order in which to start them.
        next_due: When the next delayed job is due, if fewer jobs were returned than requested.
        limited_until: When a rate limit lets jobs through again, if it held some back.
        token: Pass it to `wait`.
        flushed: Resolves when the settlements are as durable as the store makes them; fails
            with an `EngineError` if they may not become durable. None if they already are.
    """

    results: Sequence[Refusal | None]
    leases: Sequence[Lease]
    next_due: int | None
    limited_until: int | None
    token: WakeToken
    flushed: asyncio.Future[None] | None = None


class Stalled(msgspec.Struct, frozen=True):
    """A job whose lease ran out, taken from its worker.

    Attributes:
        id: The job.
        poisoned: It stalled too often: the next worker fails it without running it.
    """

    id: str
    poisoned: bool


class Note(msgspec.Struct, frozen=True):
    """What a handler reported while it ran.

    Attributes:
        lease: The lease it runs under.
        progress_json: The latest progress as JSON; None leaves it unchanged.
        lines: Lines for the job's log, which keeps the newest `KEPT_LINES`.
    """

    lease: Lease
    progress_json: str | None = None
    lines: Sequence[str] = ()


class LeaseKeeper(Protocol):
    """Renews leases from a thread of its own, so its methods block."""

    def extend(self, leases: Sequence[Lease], lease_ms: int) -> list[Lease]:
        """Renew leases, including those of exchanges whose answers have not arrived yet.

        A lease that has run out is renewed too, as long as nobody has taken the job since.

        Args:
            leases: The leases of running jobs, from any queues.
            lease_ms: How long to hold them from now.

        Returns:
            The lost leases: their handlers should stop, and their settlements are refused.
        """
        ...

    def cancelled(self, leases: Sequence[Lease]) -> list[Lease]:
        """Return the leases of jobs whose cancellation was requested."""
        ...

    def close(self) -> None:
        """Release the connection."""
        ...
