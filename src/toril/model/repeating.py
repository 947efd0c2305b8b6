"""The schedule in a job's own options, as BullMQ writes it there for whoever makes the next job.

Source: BullMQ 6, `JobScheduler`: each of its jobs is `repeat:<schedule>:<ms>`, and `repeat` in
its options says by which rule the next one is due and how many there were.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import msgspec

from toril.errors import ValidationError
from toril.model import codec
from toril.model.job_options import encode_options
from toril.model.schedule import DEFAULT_TZ, Schedule

PREFIX = "repeat:"
_JOB_ID = re.compile(r"repeat:(.+):(\d+)", re.DOTALL)
_OF_ITS_TIME = ("jobId", "delay", "timestamp", "prevMillis")

_encoder = msgspec.json.Encoder()


class Turn(NamedTuple):
    """A job that a schedule made.

    Attributes:
        schedule_id: The schedule.
        due_ms: When the job was due.
    """

    schedule_id: str
    due_ms: int


class Repeat(NamedTuple):
    """What the options of a schedule's job say of it.

    Attributes:
        schedule: The rule, without what its jobs are made of.
        number: Which job of the schedule it is, from 1.
    """

    schedule: Schedule
    number: int


def job_id(schedule_id: str, due_ms: int) -> str:
    """Return the id of a schedule's job."""
    return f"{PREFIX}{schedule_id}:{due_ms}"


def turn_of(a_job_id: str) -> Turn | None:
    """Return whose a job is; None where it is no schedule's."""
    found = _JOB_ID.fullmatch(a_job_id) if a_job_id.startswith(PREFIX) else None
    return Turn(found[1], int(found[2])) if found else None


def first_options(schedule: Schedule) -> str:
    """Return the options of a schedule's first job, but for what its time decides."""
    return _with(codec.decode(encode_options(schedule.options)), schedule.id, _rule(schedule))


def next_options(schedule_id: str, options_json: str, number: int) -> str:
    """Return the options of the job after one, but for what its time decides.

    Args:
        schedule_id: The schedule.
        options_json: Those of the one, which had a rule.
        number: Which job of the schedule the next is.
    """
    options = codec.decode(options_json)
    return _with(options, schedule_id, {**options["repeat"], "count": number})


def _with(options: dict[str, Any], schedule_id: str, rule: dict[str, Any]) -> str:
    kept = {name: value for name, value in options.items() if name not in _OF_ITS_TIME}
    return _encoder.encode({**kept, "repeatJobKey": schedule_id, "repeat": rule}).decode()


def _rule(schedule: Schedule) -> dict[str, Any]:
    rule = {
        "pattern": schedule.cron,
        "tz": None if schedule.cron is None else schedule.tz,
        "every": schedule.every_ms,
        "offset": schedule.offset_ms,
        "startDate": schedule.start_ms,
        "endDate": schedule.end_ms,
        "limit": schedule.limit,
        "count": 1,
    }
    return {name: value for name, value in rule.items() if value is not None}


def rule_of(schedule_id: str, options_json: str) -> Repeat:
    """Return the rule in the options of a schedule's job, which Node.js may have written.

    Raises:
        ValidationError: There is none that could be followed.
    """
    try:
        rule = codec.decode(options_json)["repeat"]
        every = None if rule.get("every") is None else int(rule["every"])
        schedule = Schedule(
            id=schedule_id,
            cron=rule.get("pattern") or None,
            every_ms=every,
            tz=rule.get("tz") or DEFAULT_TZ,
            start_ms=_number(rule.get("startDate")),
            end_ms=_number(rule.get("endDate")),
            limit=_number(rule.get("limit")),
        )
        number = _number(rule.get("count")) or 0
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValidationError("repeat", f"{error!r}: these options hold no rule") from None
    if schedule.cron is None and not (schedule.every_ms and schedule.every_ms > 0):
        raise ValidationError("repeat", "there is neither a pattern nor an interval")
    return Repeat(schedule, number)


def _number(value: Any) -> int | None:
    return None if value is None else int(value)
