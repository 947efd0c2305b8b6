"""The states of a job and the only table of the ways between them.

docs/states.md draws this table. The SQL schema enforces it, and tests hold every
state literal in SQL and Lua against it.
"""

from __future__ import annotations

from enum import StrEnum

from toril.errors import ValidationError


class JobState(StrEnum):
    """Where a job is. The values are BullMQ's names, so that both sides speak alike."""

    WAITING = "waiting"
    PRIORITIZED = "prioritized"
    DELAYED = "delayed"
    WAITING_CHILDREN = "waiting-children"
    ACTIVE = "active"
    COMPLETED = "completed"
    FAILED = "failed"
    # The two below are views that listings and the registry give of a job:
    # waiting in a paused queue, and failed with a dead letter. No engine stores them.
    PAUSED = "paused"
    DEAD = "dead"


STORED = frozenset(JobState) - {JobState.PAUSED, JobState.DEAD}
"""The states that an engine stores."""

FINAL = frozenset({JobState.COMPLETED, JobState.FAILED})
"""The states that a job does not leave by itself."""

READY = frozenset({JobState.WAITING, JobState.PRIORITIZED})
"""The states from which a worker takes jobs."""

INITIAL = frozenset(
    {JobState.WAITING, JobState.PRIORITIZED, JobState.DELAYED, JobState.WAITING_CHILDREN}
)
"""The states in which a job may be added."""

TRANSITIONS: dict[JobState, frozenset[JobState]] = {
    # → prioritized: its priority was changed; → delayed: its delay was; → failed: cancelled.
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
    # → waiting, prioritized: retried at once, given back or stalled; → delayed: backoff, snooze.
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
    # → waiting, prioritized: somebody asked to run it again.
    JobState.COMPLETED: frozenset({JobState.WAITING, JobState.PRIORITIZED}),
    JobState.FAILED: frozenset({JobState.WAITING, JobState.PRIORITIZED}),
}
"""From each stored state, the states that may follow. Removal is possible from each but active."""


def parse_state(state: JobState | str, field: str = "state") -> JobState:
    """Return a stored state by its name.

    Args:
        state: The state, or its name as BullMQ writes it.
        field: The name to put into the error.

    Raises:
        ValidationError: No engine stores such a state.
    """
    try:
        parsed = JobState(state)
    except ValueError:
        parsed = None
    if parsed not in STORED:
        known = ", ".join(s for s in JobState if s in STORED)
        raise ValidationError(field, f"must be one of {known}, not {state!r}")
    return parsed
