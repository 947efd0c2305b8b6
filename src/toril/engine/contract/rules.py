"""Constants and errors that all engines share. Lua scripts get the constants inserted."""

from __future__ import annotations

import re

from toril.errors import ConflictError, NotFoundError, StoreUnavailableError, ValidationError
from toril.model.durations import LATEST_MS
from toril.model.job import QueueRef
from toril.model.state import STORED, JobState

KEPT_EVENTS = 10_000
"""Events kept per queue, as many as BullMQ keeps."""

KEPT_ERRORS = 25
"""Errors kept per job: those of its latest attempts."""

KEPT_LINES = 10_000
"""Lines kept in a job's log: the newest ones."""

KEPT_MINUTES = 14 * 24 * 60
"""Minutes for which counters are kept."""

CHUNK = 1000
"""Jobs that one step removes or moves, so that other calls do not wait long."""

MAX_BATCH = 5_000
"""Jobs that one call may add, each tag counting as one more: about 25 ms of the store's time."""

MAX_BATCH_BYTES = 16 << 20
"""Bytes of payloads that one call may add."""

MOST_EXCHANGED = 500
"""Jobs that one exchange of a worker settles, and fetches."""

BYTES = 8 << 20
"""How many bytes of payloads one call moves, about; a single larger job is moved alone."""

PRODUCER_IDLE_MS = 24 * 60 * 60 * 1000
"""How long a producer's last sequence number is remembered."""

PRODUCERS_CHECKED = 100
"""Producers that one step on Redis checks, to forget those that are idle."""

CLOCK_SLACK_MS = 1000
"""How much later than it can a stored time may be before it shows that the clock was set back:
small corrections of the clock must not let more jobs start than a rate limit allows."""

MOST_SWEEPS = 20
"""Steps of `CHUNK` jobs that one rescue removes; the next one continues."""

LUA_CONSTANTS = {
    "KEPT_EVENTS": KEPT_EVENTS,
    "KEPT_ERRORS": KEPT_ERRORS,
    "KEPT_LINES": KEPT_LINES,
    "KEPT_MINUTES": KEPT_MINUTES,
    "CHUNK": CHUNK,
    "BYTES": BYTES,
    "PRODUCER_IDLE_MS": PRODUCER_IDLE_MS,
    "PRODUCERS_CHECKED": PRODUCERS_CHECKED,
    "LATEST_MS": LATEST_MS,
    "CLOCK_SLACK_MS": CLOCK_SLACK_MS,
}
"""Constants that a script can request with `-- constant: NAME`."""


_TOKEN = re.compile(r":(\d+)-[0-9a-f]+$", re.ASCII)


def lease_token(worker: str, lease_ms: int, unique: str) -> str:
    """Return a lease token. It says how long the lease lasts, for `lease_ms_of`.

    Args:
        worker: The worker's id.
        lease_ms: How long the lease lasts unless it is renewed.
        unique: Hexadecimal digits that no other token of this worker has.
    """
    return f"{worker}:{lease_ms}-{unique}"


def lease_ms_of(token: str) -> int | None:
    """Return how long the lease with a token lasts; None if the token does not say it."""
    found = _TOKEN.search(token)
    return None if found is None else int(found[1])


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
