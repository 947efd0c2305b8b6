"""Continuing schedules: picking up a schedule's job creates the next one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from toril.engine.redis.connection.connections import Connections
from toril.errors import ValidationError
from toril.model import repeating
from toril.model.job import Lease, QueueRef
from toril.model.schedule import STOPPED
from toril.printable import logger

_logger = logger("toril.engine")

_MAX_TRIES = 1000
_MADE, _EXISTS = 1, -1


class _Next(NamedTuple):
    """The next job of a schedule whose job was fetched."""

    lease: Lease
    rule: repeating.Repeat
    before: int
    due: int

    def packed(self) -> tuple[Any, ...]:
        options = self.lease.options
        options_json = repeating.next_options(
            self.rule.schedule.id, self.lease.options_json, self.rule.number + 1
        )
        return self.lease.id, self.due, options_json, options.priority, int(options.lifo)


async def advance(
    connections: Connections, queue: QueueRef, now: int, leases: Sequence[Lease]
) -> int | None:
    """Create the next jobs of the schedules whose jobs were fetched.

    Args:
        connections: The connections.
        queue: The queue.
        now: The server's time, in milliseconds since 1970.
        leases: The leases of the fetched jobs.

    Returns:
        When the earliest of the new jobs is due; None if no job was created.
    """
    wanted = [found for lease in leases if (found := _next(lease, now))]
    first: int | None = None
    for _ in range(_MAX_TRIES):
        if not wanted:
            break
        answers = await connections.run(
            "advance", queue, *(part for one in wanted for part in one.packed())
        )
        pairs = list(zip(wanted, answers, strict=True))
        made = [one.due for one, answer in pairs if answer == _MADE]
        first = min([*made, *([] if first is None else [first])], default=None)
        existing = [one for one, answer in pairs if answer == _EXISTS]
        wanted = [later for one in existing if (later := _later(one))]
    return first


def _next(lease: Lease, now: int) -> _Next | None:
    """Return the job after a schedule's job; None for other jobs, or if the schedule ends."""
    turn = repeating.turn_of(lease.id)
    if turn is None:
        return None
    try:
        rule = repeating.rule_of(turn.schedule_id, lease.options_json)
        due = rule.schedule.following(turn.due_ms, now)
    except ValidationError as error:
        _say_once(lease.queue, turn.schedule_id, error)
        return None
    limit = rule.schedule.limit
    if due is None or (limit is not None and rule.number >= limit):
        return None
    return _Next(lease, rule, turn.due_ms, due)


_MAX_SAID = 10_000
_said: set[tuple[QueueRef, str]] = set()


def _say_once(queue: QueueRef, schedule_id: str, error: ValidationError) -> None:
    """Say that a schedule has stopped, but not again with each job that it has left.

    The repeatable jobs of older BullMQs, whose keys Toril cannot continue, may be many.
    """
    if (queue, schedule_id) not in _said and len(_said) < _MAX_SAID:
        _said.add((queue, schedule_id))
        _logger.error(STOPPED, schedule_id, str(queue), error)


def _later(one: _Next) -> _Next | None:
    # If the clock was set back, only later times than that of the job before are free.
    last = max(one.due, one.before)
    due = one.rule.schedule.following(last, last)
    return None if due is None else one._replace(due=due)
