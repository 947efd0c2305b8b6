"""Decoding jobs from the fields of their Redis hashes."""

from __future__ import annotations

from typing import Any

import msgspec

from toril.engine.contract.jobs import Ending
from toril.engine.redis.scripts.values import whole
from toril.model import codec
from toril.model.codec import MAX_SAFE_INTEGER
from toril.model.job import AttemptError, Job, QueueRef
from toril.model.job_options import decode_options
from toril.model.outcome import CANCEL_REASON
from toril.model.state import JobState

FIELDS = (
    "name",
    "data",
    "opts",
    "timestamp",
    "processedOn",
    "finishedOn",
    "atm",
    "attemptsMade",
    "ats",
    "stc",
    "priority",
    "progress",
    "returnvalue",
    "failedReason",
    "stacktrace",
    "errors",
    "pb",
    "defa",
)
"""The fields of a job's hash, in the order in which lua/get.lua returns them."""

_DUE_STEP = 0x1000
_decode_errors = msgspec.json.Decoder(tuple[AttemptError, ...], strict=False).decode


def job_of(queue: QueueRef, found: list[Any]) -> Job:
    """Return a job.

    Args:
        queue: The queue.
        found: The job as lua/get.lua returns it.
    """
    job_id, state_name, score, cancel, *values = found
    state = JobState(state_name)
    field = dict(zip(FIELDS, values or [None] * len(FIELDS), strict=True))
    result = field["returnvalue"] if state is JobState.COMPLETED else None
    return Job(
        queue=queue,
        id=job_id,
        name=field["name"] or "",
        data_json=field["data"] or "null",
        options=decode_options(field["opts"] or "{}"),
        state=state,
        priority=whole(field["priority"]),
        created_ms=whole(field["timestamp"]),
        due_ms=_due(score) if state is JobState.DELAYED else None,
        started_ms=_time(field["processedOn"]),
        finished_ms=_time(field["finishedOn"]),
        attempts_made=whole(field["atm"] or field["attemptsMade"]),
        attempts_started=whole(field["ats"]),
        stalls=whole(field["stc"]),
        progress_json=field["progress"],
        result_json=None if result == "null" else result,
        errors=errors_of(field),
        worker=field["pb"] if state is JobState.ACTIVE else None,
        cancel_requested=bool(cancel) or field["defa"] == CANCEL_REASON,
    )


def _due(score: str) -> int:
    return int(min(max(float(score) / _DUE_STEP, 0), MAX_SAFE_INTEGER))


def _time(text: str | None) -> int | None:
    return None if text is None else whole(text)


def errors_of(field: dict[str, Any]) -> tuple[AttemptError, ...]:
    """Return a job's errors, including the last one that BullMQ recorded for Node.js.

    Args:
        field: The fields of its hash.
    """
    known = _own_errors(field["errors"])
    reason = field["failedReason"]
    if not reason or (known and known[-1].message == reason):
        return known
    try:
        stack = str(codec.decode(field["stacktrace"] or "[]")[-1])
    except (ValueError, LookupError, TypeError, RecursionError):
        stack = ""
    attempt = max(whole(field["atm"] or field["attemptsMade"]), 1)
    ended = _time(field["finishedOn"])
    return (*known, AttemptError(attempt, "Error", reason, stack, ended_ms=ended))


def _own_errors(text: str | None) -> tuple[AttemptError, ...]:
    if not text:
        return ()
    try:
        return _decode_errors(f"[{text}]")
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return ()


def ending_of(found: Any) -> Ending | None:
    """Return how a job ended; None if it has not.

    Args:
        found: The job's ending as lua/endings.lua returns it.
    """
    match found:
        case [1, result]:
            return Ending(JobState.COMPLETED, None if result in {None, "null"} else result)
        case [2, reason, errors]:
            field = dict.fromkeys(FIELDS) | {"errors": errors, "failedReason": reason}
            known = errors_of(field)
            return Ending(JobState.FAILED, error=known[-1] if known else None)
        case _:
            return None


def raw_of(found: list[Any]) -> dict[str, Any]:
    """Return all keys of a job as a document.

    Args:
        found: The keys as lua/raw.lua returns them.

    Returns:
        The fields of the job's hash, and each further key by its suffix. If the job's key holds no
        hash, its type and values are in "type" and "values".
    """
    raw: dict[str, Any] = {}
    for suffix, kind, values in found:
        value: Any = values
        if kind == "hash":
            value = dict(zip(values[::2], values[1::2], strict=True))
        elif kind == "string":
            value = values[0]
        if suffix:
            raw[suffix] = value
        else:
            raw |= value if kind == "hash" else {"type": kind, "values": value}
    return raw
