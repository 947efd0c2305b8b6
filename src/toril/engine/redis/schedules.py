"""Schedules, stored as BullMQ's job schedulers."""

from __future__ import annotations

from typing import Any

from toril.engine.contract.schedules import ScheduleInfo
from toril.engine.redis.session import Session, Sessions
from toril.errors import ConflictError
from toril.model import repeating
from toril.model.job import QueueRef
from toril.model.job_options import decode_options, encode_options
from toril.model.schedule import DEFAULT_TZ, Schedule

_MAX_TRIES = 1000


class RedisSchedules:
    """The schedules of a Redis store's queues; see `Schedules` in the contract."""

    def __init__(self, sessions: Sessions) -> None:
        """Prepare.

        Args:
            sessions: The engine's sessions.
        """
        self._sessions = sessions

    async def upsert(self, queue: QueueRef, schedule: Schedule) -> int:
        session = self._sessions.current()
        with session.calls:
            await session.ensure_registered(queue)
            return await _upsert(session, queue, schedule)

    async def remove(self, queue: QueueRef, schedule_id: str) -> bool:
        return bool(await self._sessions.current().run("remove_schedule", queue, schedule_id))

    async def all(self, queue: QueueRef) -> list[ScheduleInfo]:
        return await _all(self._sessions.current(), queue)


async def sooner(session: Session, queue: QueueRef) -> list[str | int]:
    """Find pending jobs that the clock, which was set back, would bring too late.

    Returns:
        For each, its id, and when it is due by the clock as it is now, in milliseconds since 1970.
    """
    found: list[str | int] = []
    now = await session.run("clock", queue)
    for one in await _all(session, queue):
        due = one.schedule.next_by_clock(one.next_ms, now)
        if due is not None and due < one.next_ms:
            found += (repeating.job_id(one.schedule.id, one.next_ms), due)
    return found


async def _all(session: Session, queue: QueueRef) -> list[ScheduleInfo]:
    return [
        _info(schedule_id, due, dict(zip(flat[::2], flat[1::2], strict=True)))
        for schedule_id, due, flat in await session.run("schedules", queue)
        if flat  # otherwise a repeatable job of an older BullMQ
    ]


async def _upsert(session: Session, queue: QueueRef, schedule: Schedule) -> int:
    due = schedule.first_after(await session.run("clock", queue))
    for _ in range(_MAX_TRIES):
        found, is_made = await session.run(
            "upsert_schedule", queue, schedule.id, due, *_definition(schedule)
        )
        if is_made:
            return int(found)
        if schedule.cron is None:  # for an interval, the script has already tried later times
            break
        due = schedule.first_after(found)
    raise ConflictError(f"the next runs of schedule {schedule.id!r} already have jobs")


def _definition(schedule: Schedule) -> tuple[Any, ...]:
    """Return the script's arguments that follow the schedule's id and the due time."""
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
        *_or_empty(schedule.every_ms, schedule.start_ms, schedule.end_ms, schedule.offset_ms),
        schedule.name,
        schedule.data,
        repeating.first_options(schedule),
        options.priority,
        int(options.lifo),
        *(part for field, value in fields.items() if value is not None for part in (field, value)),
    )


def _or_empty(*values: int | None) -> tuple[int | str, ...]:
    return tuple("" if value is None else value for value in values)


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
