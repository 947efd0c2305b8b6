"""The states of a job, and the table of transitions between them.

docs/states.md shows this table as a diagram. The SQL schema enforces it, and tests check every
state literal in SQL and Lua against it.
"""

from __future__ import annotations

from enum import StrEnum

from toril.errors import ValidationError


class JobState(StrEnum):
    """The state of a job. The values are BullMQ's names."""

    WAITING = "waiting"
    PRIORITIZED = "prioritized"
    DELAYED = "delayed"
    WAITING_CHILDREN = "waiting-children"
    ACTIVE = "active"
    COMPLETED = "completed"
    FAILED = "failed"
    # No engine stores the states below. They appear only in listings and in the registry: waiting
    # in a paused queue, and failed with a dead letter. A job of an unknown state is in none of its
    # queue's lists and sets, because a program ended or failed between two commands.
    PAUSED = "paused"
    DEAD = "dead"
    UNKNOWN = "unknown"


STORED = frozenset(JobState) - {JobState.PAUSED, JobState.DEAD, JobState.UNKNOWN}
"""The states that engines store."""

FINAL = frozenset({JobState.COMPLETED, JobState.FAILED})
"""The states of finished jobs. A job leaves them only on request."""

READY = frozenset({JobState.WAITING, JobState.PRIORITIZED})
"""The states from which workers fetch jobs."""

INITIAL = frozenset(
    {JobState.WAITING, JobState.PRIORITIZED, JobState.DELAYED, JobState.WAITING_CHILDREN}
)
"""The states that a new job can have."""

TRANSITIONS: dict[JobState, frozenset[JobState]] = {
    # → prioritized: priority changed; → delayed: delay changed; → failed: cancelled.
    JobState.WAITING: frozenset(
        {JobState.ACTIVE, JobState.PRIORITIZED, JobState.DELAYED, JobState.FAILED}
    ),
    JobState.PRIORITIZED: frozenset(
        {JobState.ACTIVE, JobState.WAITING, JobState.DELAYED, JobState.FAILED}
    ),
    # → waiting, prioritized: due, or promoted; → failed: cancelled.
    JobState.DELAYED: frozenset({JobState.WAITING, JobState.PRIORITIZED, JobState.FAILED}),
    # → waiting, prioritized, delayed: its last child is done; → failed: cancelled.
    JobState.WAITING_CHILDREN: frozenset(
        {JobState.WAITING, JobState.PRIORITIZED, JobState.DELAYED, JobState.FAILED}
    ),
    # → waiting, prioritized: retried at once, released or stalled; → delayed: backoff, snooze.
    JobState.ACTIVE: frozenset(
        {
            JobState.COMPLETED,
            JobState.FAILED,
            JobState.WAITING,
            JobState.PRIORITIZED,
            JobState.DELAYED,
            JobState.WAITING_CHILDREN,
        }
    ),
    # → waiting, prioritized: run again on request.
    JobState.COMPLETED: frozenset({JobState.WAITING, JobState.PRIORITIZED}),
    JobState.FAILED: frozenset({JobState.WAITING, JobState.PRIORITIZED}),
}
"""The states that may follow each stored state. Jobs can be removed from any state but active."""


def parse_state(state: JobState | str, field: str = "state") -> JobState:
    """Return the stored state with a name.

    Args:
        state: The state, or BullMQ's name for it.
        field: The field name for the error.

    Raises:
        ValidationError: There is no such stored state.
    """
    try:
        parsed = JobState(state)
    except ValueError:
        parsed = None
    if parsed not in STORED:
        known = ", ".join(s for s in JobState if s in STORED)
        raise ValidationError(field, f"must be one of {known}, not {state!r}")
    return parsed
