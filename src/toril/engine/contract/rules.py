"""The numbers and refusals that every engine shares. Lua scripts get the numbers inserted."""

from __future__ import annotations

from toril.errors import ConflictError, NotFoundError, ValidationError
from toril.model.job import QueueRef
from toril.model.state import STORED, JobState

KEPT_EVENTS = 10_000
"""Events kept of each queue, as many as BullMQ keeps."""

KEPT_ERRORS = 25
"""Errors kept of a job's attempts: the newest."""

KEPT_MINUTES = 14 * 24 * 60
"""Minutes for which counters are kept."""

CHUNK = 1000
"""Jobs that one step removes or moves, so that nobody else waits for long."""

PRODUCER_IDLE_MS = 24 * 60 * 60 * 1000
"""How long a producer's last sequence number is remembered."""

PRODUCERS_CHECKED_EVERY = 1024
"""Batches of one producer after which idle producers are forgotten."""

LUA_CONSTANTS = {
    "KEPT_EVENTS": KEPT_EVENTS,
    "KEPT_ERRORS": KEPT_ERRORS,
    "KEPT_MINUTES": KEPT_MINUTES,
    "CHUNK": CHUNK,
    "PRODUCER_IDLE_MS": PRODUCER_IDLE_MS,
    "PRODUCERS_CHECKED_EVERY": PRODUCERS_CHECKED_EVERY,
}
"""What a script may ask for with `-- constant: NAME`."""


def no_such_queue(queue: QueueRef) -> NotFoundError:
    """Return the error for a queue that does not exist."""
    return NotFoundError(f"there is no queue {str(queue)!r}")


def no_such_job(queue: QueueRef, job_id: str) -> NotFoundError:
    """Return the error for a job that does not exist."""
    return NotFoundError(f"there is no job {job_id!r} in queue {str(queue)!r}")


def jobs_are_active(queue: QueueRef, count: int | str) -> ConflictError:
    """Return the error for a queue that cannot be obliterated while jobs run."""
    return ConflictError(f"{count} jobs of {str(queue)!r} are active; wait for them, or force it")


def cannot_change(job_id: str, state: str) -> ConflictError:
    """Return the error for a job in a state that does not allow the change."""
    if state in {JobState.COMPLETED, JobState.FAILED}:
        return ConflictError(f"job {job_id} has already {state}")
    return ConflictError(f"job {job_id} is {state}: only its data can be changed")


def check_cleanable(state: JobState) -> None:
    """Check that jobs in a state can be cleaned.

    Raises:
        ConflictError: They cannot.
    """
    if state not in STORED - {JobState.ACTIVE}:
        raise ConflictError(f"jobs that are {state} cannot be cleaned")


def limits_by_other_field(queue: QueueRef, known: str, given: str) -> ConflictError:
    """Return the error for a limit keyed by a different field."""
    return ConflictError(
        f"queue {str(queue)!r} has limits by {known!r}, not by {given!r}: "
        "clear them first with queue.clear_limits()"
    )


def foreign_cursor(cursor: str, of: str) -> ValidationError:
    """Return the error for a cursor that comes from elsewhere."""
    return ValidationError("cursor", f"{cursor!r} is not from {of}")
