"""Constants and errors that all engines share. Lua scripts get the constants inserted."""

from __future__ import annotations

from toril.errors import ConflictError, NotFoundError, StoreUnavailableError, ValidationError
from toril.model.job import QueueRef
from toril.model.state import STORED, JobState

KEPT_EVENTS = 10_000
"""Events kept per queue, as many as BullMQ keeps."""

KEPT_ERRORS = 25
"""Errors kept per job: those of its latest attempts."""

KEPT_MINUTES = 14 * 24 * 60
"""Minutes for which counters are kept."""

CHUNK = 1000
"""Jobs that one step removes or moves, so that other calls do not wait long."""

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
"""Constants that a script can request with `-- constant: NAME`."""


def is_closed(location: str) -> StoreUnavailableError:
    """Return the error for a call on a closed store, or one that was waiting when it closed."""
    return StoreUnavailableError(
        f"{location} is closed; open the manager again: `await manager.open()`, or "
        "`async with manager`; without an event loop `manager.sync.open()`"
    )


def no_such_queue(queue: QueueRef) -> NotFoundError:
    """Return the error for a queue that does not exist."""
    return NotFoundError(f"there is no queue {str(queue)!r}")


def no_such_job(queue: QueueRef, job_id: str) -> NotFoundError:
    """Return the error for a job that does not exist."""
    return NotFoundError(f"there is no job {job_id!r} in queue {str(queue)!r}")


def jobs_are_active(queue: QueueRef, count: int | str) -> ConflictError:
    """Return the error for a queue that cannot be obliterated while jobs run."""
    return ConflictError(
        f"queue {str(queue)!r} has active jobs ({count}): wait for them to finish, or use force"
    )


def cannot_change(job_id: str, state: str) -> ConflictError:
    """Return the error for a job in a state that does not allow the change."""
    if state in {JobState.COMPLETED, JobState.FAILED}:
        return ConflictError(f"job {job_id} has already {state}")
    return ConflictError(f"job {job_id} is {state}: only its data can be changed")


def check_cleanable(state: JobState) -> None:
    """Check that jobs in a state can be cleaned.

    Raises:
        ConflictError: Jobs in this state cannot be cleaned.
    """
    if state not in STORED - {JobState.ACTIVE}:
        raise ConflictError(f"{state} jobs cannot be cleaned")


def limits_by_other_field(queue: QueueRef, known: str, given: str) -> ConflictError:
    """Return the error for a limit keyed by a different field."""
    return ConflictError(
        f"queue {str(queue)!r} has limits by {known!r}, not by {given!r}: "
        "clear them first with queue.clear_limits()"
    )


def foreign_cursor(cursor: str, of: str) -> ValidationError:
    """Return the error for a cursor that this listing did not return."""
    return ValidationError("cursor", f"{cursor!r} is not a cursor from {of}")
