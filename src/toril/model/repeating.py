"""The rule of a schedule in its jobs' options, from which BullMQ creates the next job.

Source: BullMQ 6, `JobScheduler`. The id of each of a schedule's jobs is
`repeat:<schedule>:<ms>`. The option `repeat` holds the rule by which the next job is due, and
how many jobs there have been.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from toril.errors import ValidationError
from toril.model import codec
from toril.model.job_options import encode_options
from toril.model.schedule import DEFAULT_TZ, Schedule

PREFIX = "repeat:"
_JOB_ID = re.compile(r"repeat:(.+):(\d+)", re.DOTALL)
_TIME_DEPENDENT = ("jobId", "delay", "timestamp", "prevMillis")


class Turn(NamedTuple):
    """Identifies a job that a schedule created.

    Attributes:
        schedule_id: The schedule's id.
        due_ms: When the job was due, in milliseconds since 1970.
    """

    schedule_id: str
    due_ms: int


class Repeat(NamedTuple):
    """The schedule as described by the options of one of its jobs.

    Attributes:
        schedule: The rule, without the name, payload and options of the schedule's jobs.
        number: The job's number within the schedule, from 1.
    """

    schedule: Schedule
    number: int


def job_id(schedule_id: str, due_ms: int) -> str:
    """Return the id of the job that a schedule creates for a due time."""
    return f"{PREFIX}{schedule_id}:{due_ms}"


def turn_of(a_job_id: str) -> Turn | None:
    """Return which schedule's job an id belongs to; None if not a schedule's."""
    found = _JOB_ID.fullmatch(a_job_id) if a_job_id.startswith(PREFIX) else None
    return Turn(found[1], int(found[2])) if found else None


def first_options(schedule: Schedule) -> str:
    """Return the options of a schedule's first job, without those that depend on its due time."""
    return _with(codec.decode(encode_options(schedule.options)), schedule.id, _rule(schedule))


def next_options(schedule_id: str, options_json: str, number: int) -> str:
    """Return the options of a schedule's next job, without those that depend on its due time.

    Args:
        schedule_id: The schedule's id.
        options_json: The options of the job before, which contain a rule.
        number: The next job's number within the schedule.
    """
    options = codec.decode(options_json)
    return _with(options, schedule_id, {**options["repeat"], "count": number})


def _with(options: dict[str, Any], schedule_id: str, rule: dict[str, Any]) -> str:
    kept = {name: value for name, value in options.items() if name not in _TIME_DEPENDENT}
    return codec.dump({**kept, "repeatJobKey": schedule_id, "repeat": rule})


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
    """Read the rule from the options of a schedule's job, which Node.js may have written.

    Args:
        schedule_id: The schedule's id.
        options_json: The job's options.

    Raises:
        ValidationError: The options contain no valid rule.
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
        raise ValidationError("repeat", f"is not a valid schedule rule: {error!r}") from None
    if schedule.cron is None and not (schedule.every_ms and schedule.every_ms > 0):
        raise ValidationError("repeat", "must have a cron pattern or an interval")
    return Repeat(schedule, number)


def _number(value: Any) -> int | None:
    return None if value is None else int(value)
