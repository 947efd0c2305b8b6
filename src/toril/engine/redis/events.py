"""What BullMQ's stream of events says, in Toril's words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from toril.engine.base import EventRecord, MetricsWindow
from toril.engine.redis.scripts.packing import as_json
from toril.errors import ValidationError

_IGNORED = "-"
_STREAM_ID = re.compile(r"[0-9]{1,18}(-[0-9]{1,18})?")


def read_cursor(cursor: str) -> str:
    """Return a cursor that is a stream's id.

    Raises:
        ValidationError: It is not.
    """
    if _STREAM_ID.fullmatch(cursor) is None:
        raise ValidationError("cursor", f"{cursor!r} is not from the events of a queue")
    return cursor


def records_of(entries: Sequence[Sequence[Any]]) -> list[EventRecord]:
    """Return what happened.

    Args:
        entries: Entries of the stream: their ids, and their fields.
    """
    found: list[EventRecord] = []
    for entry_id, flat in entries:
        fields = dict(zip(flat[::2], flat[1::2], strict=True))
        record = _record(int(entry_id.partition("-")[0]), fields)
        if record is None:
            continue
        if record.kind == "stalled" and found and found[-1] == _retrying(record):
            found.pop()  # BullMQ says of a stalled job first that it waits
        found.append(record)
    return found


def _retrying(record: EventRecord) -> EventRecord:
    return EventRecord("retrying", record.job_id, record.at_ms)


def _record(at: int, fields: dict[str, str]) -> EventRecord | None:
    kind = fields.get("toril") or _kind(fields)
    if kind is None or kind == _IGNORED:
        return None
    return EventRecord(kind, fields.get("jobId", ""), at, _data(kind, fields))


def _kind(fields: dict[str, str]) -> str | None:
    event = fields.get("event", "")
    match event, fields.get("prev"):
        case "waiting", "active":
            return "retrying"
        case "waiting", "delayed" | "waiting-children":
            return "promoted"
        case "waiting", "completed" | "failed":
            return "retried"
        case "delayed", _:
            return "retrying" if "error" in fields else None
        case _:
            return event if event in _SAME else None


_SAME = frozenset(
    {
        "active",
        "added",
        "cancelled",
        "changed",
        "completed",
        "deduplicated",
        "failed",
        "paused",
        "progress",
        "removed",
        "resumed",
        "stalled",
    }
)


def _data(kind: str, fields: dict[str, str]) -> str | None:
    match kind:
        case "added":
            return fields.get("name")
        case "completed":
            return fields.get("returnvalue")
        case "deduplicated":
            return fields.get("deduplicatedJobId")
        case "progress":
            return fields.get("data")
        case "failed" | "retrying":
            reason = fields.get("failedReason")  # all that Node.js tells
            return fields.get("error") or (as_json(("Error", reason)) if reason else None)
        case _:
            return None


def window_of(flat: Sequence[Any], window_ms: int) -> MetricsWindow:
    """Return the sums of a queue's counters.

    Args:
        flat: Names and sums in turn.
        window_ms: The length of the window.
    """
    found = {name: int(total) for name, total in zip(flat[::2], flat[1::2], strict=True)}
    return MetricsWindow.of(found, window_ms)
