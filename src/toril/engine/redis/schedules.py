"""Schedules: BullMQ's job schedulers, made, changed, removed, and carried on at each pickup."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, NamedTuple

from toril.engine.base import ScheduleInfo
from toril.engine.redis.connection.connections import Connections
from toril.errors import ConflictError, ValidationError
from toril.model import repeating
from toril.model.codec import decode_options, encode_options
from toril.model.job import Lease, QueueRef
from toril.model.schedule import DEFAULT_TZ, STOPPED, Schedule

_logger = logging.getLogger("toril.engine")

_TRIES = 1000
_MADE, _TAKEN = 1, -1


async def upsert(connections: Connections, queue: QueueRef, schedule: Schedule) -> int:
    """Make or change a schedule; see `Engine.upsert_schedule`."""
    due = schedule.first_after(await connections.run("clock", queue))
    for _ in range(_TRIES):
        found, is_made = await connections.run(
            "upsert_schedule", queue, schedule.id, due, *_definition(schedule)
        )
        if is_made:
            return int(found)
        if schedule.cron is None:  # of an interval the script has looked for a free time
            break
        due = schedule.first_after(found)
    raise ConflictError(f"the next times of schedule {schedule.id!r} have jobs already")


def _definition(schedule: Schedule) -> tuple[Any, ...]:
    """Return what the script is told of a schedule behind its id and its time."""
    options = schedule.options
    template = encode_options(options)
    fields = {
        "tz": None if schedule.cron is None else schedule.tz,
        "pattern": schedule.cron,
        "every": schedule.every_ms,
        "startDate": schedule.start_ms,
        "endDate": schedule.end_ms,
        "limit": schedule.limit,
        "opts": template,
        "data": None if schedule.data == "{}" else schedule.data,
    }
    return (
        *_or_nothing(schedule.every_ms, schedule.start_ms, schedule.end_ms, schedule.offset_ms),
        schedule.name,
        schedule.data,
        repeating.first_options(schedule),
        options.priority,
        int(options.lifo),
        *(part for field, value in fields.items() if value is not None for part in (field, value)),
    )


def _or_nothing(*values: int | None) -> tuple[int | str, ...]:
    return tuple("" if value is None else value for value in values)


async def every(connections: Connections, queue: QueueRef) -> list[ScheduleInfo]:
    """Return a queue's schedules."""
    return [
        _info(schedule_id, due, dict(zip(flat[::2], flat[1::2], strict=True)))
        for schedule_id, due, flat in await connections.run("schedules", queue)
        if flat  # else it is one of an older BullMQ's repeatable jobs
    ]


def _info(schedule_id: str, due: str, found: dict[str, str]) -> ScheduleInfo:
    numbers = {field: int(float(found[field])) for field in _NUMBERS if found.get(field)}
    schedule = Schedule(
        id=schedule_id,
        cron=found.get("pattern"),
        every_ms=numbers.get("every"),
        tz=found.get("tz") or DEFAULT_TZ,
        start_ms=numbers.get("startDate"),
        end_ms=numbers.get("endDate"),
        limit=numbers.get("limit"),
        offset_ms=numbers.get("offset") if "every" in numbers else None,
        name=found["name"],
        data=found.get("data") or "{}",
        options=decode_options(found.get("opts") or "{}"),
    )
    return ScheduleInfo(schedule, int(float(due)), numbers.get("ic", 0))


_NUMBERS = ("every", "startDate", "endDate", "limit", "offset", "ic")


class _Next(NamedTuple):
    """The job that comes after one that was taken."""

    lease: Lease
    rule: repeating.Repeat
    due: int

    def packed(self) -> tuple[Any, ...]:
        options = self.lease.options
        again = repeating.next_options(
            self.rule.schedule.id, self.lease.options_json, self.rule.number + 1
        )
        return self.lease.id, self.due, again, options.priority, int(options.lifo)


async def advance(
    connections: Connections, queue: QueueRef, now: int, leases: Sequence[Lease]
) -> int | None:
    """Make the next jobs of the schedules whose jobs were taken.

    Args:
        connections: The connections.
        queue: The queue.
        now: The server's time.
        leases: What was taken.

    Returns:
        When the first of the jobs that were made is due; None where none was made.
    """
    wanted = [found for lease in leases if (found := _next(lease, now))]
    first: int | None = None
    for _ in range(_TRIES):
        if not wanted:
            break
        answers = await connections.run(
            "advance", queue, *(part for one in wanted for part in one.packed())
        )
        pairs = list(zip(wanted, answers, strict=True))
        made = [one.due for one, answer in pairs if answer == _MADE]
        first = min([*made, *([] if first is None else [first])], default=None)
        taken = [one for one, answer in pairs if answer == _TAKEN]
        wanted = [later for one in taken if (later := _later(one))]
    return first


def _next(lease: Lease, now: int) -> _Next | None:
    """Return what comes after a job; None where it is no schedule's, or its schedule ends."""
    turn = repeating.turn_of(lease.id)
    if turn is None:
        return None
    try:
        rule = repeating.rule_of(turn.schedule_id, lease.options_json)
        due = rule.schedule.following(turn.due_ms, now)
    except ValidationError as error:
        _logger.error(STOPPED, turn.schedule_id, str(lease.queue), error)  # noqa: TRY400 - no bug of ours
        return None
    limit = rule.schedule.limit
    if due is None or (limit is not None and rule.number >= limit):
        return None
    return _Next(lease, rule, due)


def _later(one: _Next) -> _Next | None:
    due = one.rule.schedule.following(one.due, one.due)
    return None if due is None else one._replace(due=due)
