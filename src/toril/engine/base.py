"""The engine contract: how jobs move between states, a batch in every call.

An engine is the only code that talks to a store. Each operation that changes state is
one atomic call: it happens as a whole or not at all, and no connection, transaction or
cursor is seen from outside, so that a call can be a Redis script as well as a SQLite
transaction. The engine's clock is the store's clock. Times are milliseconds. Only `drain`,
`clean` and `obliterate` may work in several calls, lest a million jobs stop all others.

A queue that is not there is made by `register`, `add` and `exchange`; `get`, `logs`,
`endings`, `events`, `info`, `note`, `rescue` and `extend` answer with nothing; what else looks at a
queue or controls it raises `NotFoundError`.

tests/conformance holds each rule that is written here, for every engine.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Literal, Protocol, TypeAlias

import msgspec

from toril.errors import ConflictError
from toril.model.job import AttemptError, Job, Lease, NewJob, QueueRef
from toril.model.limits import KeyLimits
from toril.model.options import RateLimit
from toril.model.schedule import Schedule
from toril.model.settlement import Settlement
from toril.model.state import JobState


class Capabilities(msgspec.Struct, frozen=True):
    """What an engine can do. What it cannot, it refuses with `UnsupportedError`.

    Attributes:
        name: The engine's name, as users see it.
        durable: A job that was added survives the end of the process.
        shared: Several processes may work on the same queues.
        bullmq: Node.js services see the same queues.
        remote: It works in a process of its own: while one call is there, another can be prepared.
    """

    name: str
    durable: bool
    shared: bool
    bullmq: bool
    remote: bool = False


class Batch(msgspec.Struct, frozen=True):
    """Who adds and for the how-many-th time, so that a batch sent twice is added once.

    Attributes:
        producer: The producer's id.
        sequence: Grows by one with each batch; a batch that is repeated keeps its number.
    """

    producer: str
    sequence: int


class AddStatus(StrEnum):
    """What became of a job that was added."""

    CREATED = "created"
    DUPLICATE = "duplicate"  # a job with this id was there already
    DEDUPLICATED = "deduplicated"  # another job holds its deduplication key


class Added(msgspec.Struct, frozen=True, gc=False):
    """What became of one job of a batch.

    Attributes:
        id: The job that stands for it now: itself, or the one that was there.
        status: Whether it is new.
    """

    id: str
    status: AddStatus


class Fetch(msgspec.Struct, frozen=True):
    """What a worker asks for.

    Attributes:
        limit: How many jobs it has room for.
        worker: Its id; lease tokens begin with it.
        lease_ms: How long it holds a job without renewing.
    """

    limit: int
    worker: str
    lease_ms: int


class Refusal(StrEnum):
    """Why a settlement changed nothing."""

    MISSING = "missing"  # the job is not there any more
    LEASE_LOST = "lease-lost"  # the lease ran out, or another worker has the job
    OPEN_CHILDREN = "open-children"  # it cannot complete while children of it are open
    FAILED_CHILDREN = "failed-children"  # it cannot complete, for children of it failed


class Exchange(msgspec.Struct, frozen=True):
    """The answer to an exchange.

    Attributes:
        results: For each settlement, in order: None where it was taken, else why not.
        leases: The jobs that the worker holds now, in the order in which to start them.
        next_due: When the next delayed job is due, if fewer jobs came than were asked for.
        limited_until: When a rate limit lets jobs through again, if it kept some back.
        signal: What `wait` is to be given: work that came since then ends the wait at once.
        kept: Done when the settlements are as durable as the store makes them; it fails with
            an `EngineError` if they may not become so. None where they are already.
    """

    results: Sequence[Refusal | None]
    leases: Sequence[Lease]
    next_due: int | None
    limited_until: int | None
    signal: int
    kept: asyncio.Future[None] | None = None


class Stalled(msgspec.Struct, frozen=True):
    """A job that was taken from a worker whose lease ran out.

    Attributes:
        id: The job.
        poisoned: It did so too often: the next worker is to fail it without running it.
    """

    id: str
    poisoned: bool


class Note(msgspec.Struct, frozen=True):
    """What a handler reported while it ran.

    Attributes:
        lease: The lease it runs under.
        progress_json: The latest progress as JSON; None leaves it.
        lines: Lines for the job's log.
    """

    lease: Lease
    progress_json: str | None = None
    lines: Sequence[str] = ()


class Ending(msgspec.Struct, frozen=True):
    """How a job ended.

    Attributes:
        state: COMPLETED or FAILED.
        result_json: What the handler returned, as JSON.
        error: The error that ended it.
    """

    state: JobState
    result_json: str | None = None
    error: AttemptError | None = None


class QueueInfo(msgspec.Struct, frozen=True):
    """What is known of a queue beside its jobs.

    Attributes:
        ref: Its prefix and name.
        paused: Workers take nothing from it.
        concurrency: How many jobs may run at once over all workers; None is no limit.
        rate_limit: How many may start in a time; None is no limit.
        by_key: What holds for the jobs of each key; None is no limit.
    """

    ref: QueueRef
    paused: bool = False
    concurrency: int | None = None
    rate_limit: RateLimit | None = None
    by_key: KeyLimits | None = None


def other_field(queue: QueueRef, known: str, given: str) -> ConflictError:
    """Return what to raise where a queue is given limits by another field than it has."""
    return ConflictError(
        f"queue {str(queue)!r} has limits by {known!r}, and now by {given!r} are wanted: "
        "lift them first, queue.lift_limits()"
    )


class ScheduleInfo(msgspec.Struct, frozen=True):
    """A schedule as it stands.

    Attributes:
        schedule: The schedule, and of an interval the offset that its jobs have. Of one that
            Node.js made, options that Toril does not know are left out.
        next_ms: When its newest job is due, or was if no further one comes.
        iterations: How many jobs it has made.
    """

    schedule: Schedule
    next_ms: int
    iterations: int


class Page(msgspec.Struct, frozen=True):
    """Part of a listing.

    Attributes:
        jobs: The jobs.
        cursor: What to give for the next part; None where there is none.
    """

    jobs: Sequence[Job]
    cursor: str | None


class EventRecord(msgspec.Struct, frozen=True):
    """Something that happened to a job or a queue, as the store wrote it down.

    Attributes:
        kind: "added", "deduplicated", "active", "progress", "completed", "failed",
            "retrying", "released", "promoted", "stalled", "cancelled", "retried", "changed",
            "removed", "paused", "resumed".
        job_id: The job; empty where it is about the queue.
        at_ms: When, by the store's clock.
        data: What goes with the kind: the name of a job that was added; the id of the job
            that was not, for "deduplicated"; progress as JSON; type and message of an
            error as a JSON array, for "retrying" and "failed"; the result as JSON, for
            "completed", wherever the job's retention may leave no record of it.
    """

    kind: str
    job_id: str
    at_ms: int
    data: str | None = None


BUCKET = "bucket:"
"""What stands before a bucket's number in the name of its counter."""


class MetricsWindow(msgspec.Struct, frozen=True):
    """What a queue did in a stretch of time.

    Attributes:
        seconds: The length of the stretch.
        completed: Jobs that completed.
        failed: Jobs that failed for good.
        retried: Attempts that failed and were followed by another.
        stalled: Jobs taken from workers that died.
        duration_ms_sum: The sum of the durations of the attempts that ended.
        histogram: Attempts by duration: bucket b counts those of 2^(b-1) to 2^b - 1 ms.
    """

    seconds: float
    completed: int
    failed: int
    retried: int
    stalled: int
    duration_ms_sum: int
    histogram: Mapping[int, int]

    @classmethod
    def of(cls, counters: Mapping[str, int], window_ms: int) -> MetricsWindow:
        """Return what counters say that an engine keeps by these attributes' names.

        Args:
            counters: The sums; the durations' is `duration_ms`, a bucket's `bucket:<b>`.
            window_ms: The length of the stretch.
        """
        return cls(
            seconds=window_ms / 1000,
            completed=counters.get("completed", 0),
            failed=counters.get("failed", 0),
            retried=counters.get("retried", 0),
            stalled=counters.get("stalled", 0),
            duration_ms_sum=counters.get("duration_ms", 0),
            histogram={
                int(name.removeprefix(BUCKET)): total
                for name, total in counters.items()
                if name.startswith(BUCKET)
            },
        )


class Finding(msgspec.Struct, frozen=True):
    """What an engine's self-examination found.

    Attributes:
        level: "ok", "warning" or "error".
        check: What was looked at.
        message: What was found, and the way to mend it.
    """

    level: Literal["ok", "warning", "error"]
    check: str
    message: str


JobChange: TypeAlias = Literal["priority", "delay", "data"]


class LeaseKeeper(Protocol):
    """Keeps leases alive from a thread of its own, so it is blocking and not async."""

    def extend(self, leases: Sequence[Lease], lease_ms: int) -> list[Lease]:
        """Start the leases' time anew, and that of leases whose exchange is on its way here.

        Args:
            leases: The jobs that run, of any queues.
            lease_ms: How long to hold them from now.

        Returns:
            Those that are lost: their handlers should stop, nothing they settle counts.
        """
        ...

    def cancelled(self, leases: Sequence[Lease]) -> list[Lease]:
        """Return those of the leases whose jobs somebody asked to cancel."""
        ...

    def close(self) -> None:
        """Let go of the connection."""
        ...


class Engine(Protocol):
    """Where jobs live. Every method may raise an `EngineError`."""

    @property
    def capabilities(self) -> Capabilities:
        """What it can do."""
        ...

    @property
    def location(self) -> str:
        """Where jobs go, fit to be shown: without a password."""
        ...

    async def open(self) -> None:
        """Connect, and prepare the store. The first call of another method does it, too."""
        ...

    async def close(self) -> None:
        """Let go of every connection and thread. A second call does nothing."""
        ...

    # Queues

    async def register(
        self,
        queue: QueueRef,
        *,
        rate_limit: RateLimit | None = None,
        concurrency: int | None = None,
        by_key: KeyLimits | None = None,
    ) -> None:
        """Make a queue visible, and set the limits that are given; None leaves one as it is.

        Args:
            queue: The queue.
            rate_limit: How many jobs may start in a time.
            concurrency: How many may run at once.
            by_key: What holds for each key. Keys take turns: whoever has jobs that may start
                gets one started before another gets its second. Priorities order the jobs
                of one key. Jobs that wait for their turn may be found as PRIORITIZED.

        Raises:
            ConflictError: The queue has limits by the keys of another field.
        """
        ...

    async def lift(self, queue: QueueRef) -> None:
        """Take away a queue's limits. The jobs that they held back are ready."""
        ...

    async def queues(self) -> list[QueueInfo]:
        """Return every queue, by prefix and name."""
        ...

    async def info(self, queue: QueueRef) -> QueueInfo | None:
        """Return a queue; None where there is no such queue.

        One that only Node.js has used so far is found by its name, and is among `queues` then.
        """
        ...

    async def pause(self, queue: QueueRef) -> None:
        """Let workers take nothing more from the queue. Running jobs go on."""
        ...

    async def resume(self, queue: QueueRef) -> None:
        """Undo a pause."""
        ...

    async def drain(self, queue: QueueRef, *, delayed: bool = False) -> int:
        """Remove the jobs that wait, and the delayed ones too if asked; return how many."""
        ...

    async def clean(self, queue: QueueRef, state: JobState, grace_ms: int, limit: int) -> list[str]:
        """Remove up to `limit` jobs that have been in a state for at least `grace_ms`.

        Args:
            queue: The queue.
            state: Any stored state but ACTIVE.
            grace_ms: Since they finished; for other states, since they were added.
            limit: How many at most: of finished jobs those that finished first, else those that
                come first in the state's own order.

        Returns:
            The ids of the removed, oldest first.

        Raises:
            ConflictError: The state is one whose jobs cannot be removed.
        """
        ...

    async def obliterate(self, queue: QueueRef, *, force: bool = False) -> int:
        """Remove a queue and all it holds; return how many jobs that were.

        Raises:
            NotFoundError: There is no such queue.
            ConflictError: Jobs are active, and it was not forced.
        """
        ...

    # Schedules

    async def upsert_schedule(self, queue: QueueRef, schedule: Schedule) -> int:
        """Make a schedule, or change the one with its id, and add its next job.

        Of a schedule there is one job at most that has not been taken yet: the job that carries
        it on. Whoever takes that makes the next, in the same step or before the lease is given
        out; those that were missed are left out. The job is not removed, drained, cleaned or
        cancelled before it is taken, and never poison. Here it is replaced. Of an interval that
        stays as it was the next job is due when the old one was. Else the rule begins anew, and
        so does the count of its limit.

        Args:
            queue: The queue; it is made if it is not there.
            schedule: The schedule.

        Returns:
            When its next job is due.

        Raises:
            ValidationError: It has no job any more; nothing was changed.
        """
        ...

    async def remove_schedule(self, queue: QueueRef, schedule_id: str) -> bool:
        """Remove a schedule and its next job, if that was not taken; return whether it was there.

        Args:
            queue: The queue.
            schedule_id: The schedule.
        """
        ...

    async def schedules(self, queue: QueueRef) -> list[ScheduleInfo]:
        """Return a queue's schedules, the one with the next job first."""
        ...

    # The hot path

    async def add(
        self, queue: QueueRef, jobs: Sequence[NewJob], batch: Batch | None = None
    ) -> list[Added]:
        """Add jobs, all or none, in their order, as if one by one.

        Args:
            queue: The queue; it is made if it is not there.
            jobs: The jobs.
            batch: Lets a repetition of the call be recognised.

        Returns:
            What became of each.
        """
        ...

    async def exchange(
        self, queue: QueueRef, settlements: Sequence[Settlement], fetch: Fetch | None
    ) -> Exchange:
        """Settle what has finished and take new jobs, in one call.

        A settlement whose lease is not held any more is refused and changes nothing.
        Due delayed jobs are made ready first, even in a paused queue. Jobs without a
        priority go before those with one, then by priority, then in order.

        Args:
            queue: The queue, of all settlements too.
            settlements: What has finished.
            fetch: What is wanted; None takes nothing.

        Returns:
            What became of the settlements, and the new leases.
        """
        ...

    async def wait(self, queue: QueueRef, until_ms: int | None, signal: int) -> None:
        """Return when there may be work, or at a point in time, whichever is first.

        Args:
            queue: The queue.
            until_ms: The time, in milliseconds since 1970; None is without end.
            signal: From the last exchange.
        """
        ...

    def keeper(self) -> LeaseKeeper:
        """Return what renews leases from a thread of its own."""
        ...

    async def note(self, queue: QueueRef, notes: Sequence[Note]) -> None:
        """Store progress and log lines of jobs whose leases are held; others are dropped."""
        ...

    async def rescue(
        self, queue: QueueRef, max_stalls: int, unless_within_ms: int = 0
    ) -> list[Stalled]:
        """Take jobs from workers whose leases ran out and put them before those that wait.

        Args:
            queue: The queue.
            max_stalls: How often that may happen to one job before it is poison.
            unless_within_ms: Do nothing if somebody looked for such jobs so shortly ago, with
                this argument too. A store that finds them without looking at all jobs that
                run may not heed it.
        """
        ...

    # Looking

    async def counts(self, queue: QueueRef) -> dict[JobState, int]:
        """Return the number of jobs in each stored state."""
        ...

    async def get(self, queue: QueueRef, ids: Sequence[str]) -> list[Job | None]:
        """Return jobs by id, in order; None for those that are not there."""
        ...

    async def page(
        self,
        queue: QueueRef,
        *,
        states: Sequence[JobState] = (),
        name: str | None = None,
        tag: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page:
        """Return a part of a queue's jobs, and where the next part begins.

        Args:
            queue: The queue.
            states: Of these states only; none given is all. With one state the order is
                the state's: next to run first, last finished first. Else it is the
                engine's own: by id, or state by state.
            name: With this name only.
            tag: With this tag only, in the order in which they were added.
            limit: How many at most.
            cursor: Where the page before ended.
        """
        ...

    async def logs(
        self, queue: QueueRef, job_id: str, *, start: int = 0, limit: int = 1000
    ) -> list[str]:
        """Return lines of a job's log, oldest first, from the `start`-th."""
        ...

    async def metrics(self, queue: QueueRef, window_ms: int) -> MetricsWindow:
        """Return what the queue did in the last `window_ms`, to the minute."""
        ...

    async def endings(self, queue: QueueRef, ids: Sequence[str]) -> dict[str, Ending | None]:
        """Return how jobs ended; None while they go on. Those that are not there are left out."""
        ...

    async def events(
        self, queue: QueueRef, cursor: str | None, limit: int = 1000
    ) -> tuple[list[EventRecord], str]:
        """Return what happened after a cursor, and the cursor to go on from.

        Args:
            queue: The queue.
            cursor: From an earlier call; None begins now, with nothing.
            limit: About how many.
        """
        ...

    async def wait_event(self, queue: QueueRef, cursor: str, timeout: float) -> None:
        """Return when something may have happened after a cursor, or after `timeout` seconds."""
        ...

    async def examine(self) -> list[Finding]:
        """Look for what would lose jobs or slow them down."""
        ...

    # Control

    async def promote(self, queue: QueueRef, ids: Sequence[str]) -> list[str]:
        """Make delayed jobs ready; return those that were."""
        ...

    async def retry(self, queue: QueueRef, ids: Sequence[str]) -> list[str]:
        """Run finished jobs again, with all their attempts; return those that were finished."""
        ...

    async def remove(self, queue: QueueRef, ids: Sequence[str]) -> list[str]:
        """Remove jobs that are not active; return those that were removed."""
        ...

    async def cancel(self, queue: QueueRef, ids: Sequence[str]) -> list[str]:
        """Fail jobs that wait, ask those that run to stop; return those it concerned."""
        ...

    async def change(
        self,
        queue: QueueRef,
        job_id: str,
        *,
        priority: int | None = None,
        delay_ms: int | None = None,
        data: str | None = None,
    ) -> None:
        """Change a job that has not finished.

        Args:
            queue: The queue.
            job_id: The job.
            priority: Its new priority, while it has not started.
            delay_ms: Its new delay from now, while it has not started.
            data: Its new payload as JSON; one that runs sees it at its next attempt.

        Raises:
            NotFoundError: There is no such job.
            ConflictError: It has started, or finished.
        """
        ...
