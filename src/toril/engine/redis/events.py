"""Events: BullMQ's event stream, read as Toril's event records."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from typing import Any

from toril.engine.contract.events import EventKind, EventRecord, News
from toril.engine.contract.rules import foreign_cursor
from toril.engine.redis.scripts.keys import keys_of
from toril.engine.redis.scripts.script import as_json
from toril.engine.redis.session import Sessions
from toril.model.job import QueueRef

_IGNORED = "-"
_OWN = {kind.value: kind for kind in EventKind}
_STREAM_ID = re.compile(r"[0-9]{1,18}(-[0-9]{1,18})?")


class RedisEvents:
    """The events of a Redis store's queues; see `Events` in the contract."""

    def __init__(self, sessions: Sessions) -> None:
        """Prepare.

        Args:
            sessions: The engine's sessions.
        """
        self._sessions = sessions

    async def tails(self, queues: Sequence[QueueRef]) -> dict[QueueRef, str]:
        connections = self._sessions.current().connections
        answers = await asyncio.gather(
            *(
                connections.call("XREVRANGE", keys_of(queue).events, "+", "-", "COUNT", 1)
                for queue in queues
            )
        )
        return {
            queue: last[0][0] if last else "0-0"
            for queue, last in zip(queues, answers, strict=True)
        }

    async def read(
        self, cursors: Mapping[QueueRef, str], *, limit: int = 1000, timeout: float = 0
    ) -> dict[QueueRef, News]:
        for cursor in cursors.values():
            if _STREAM_ID.fullmatch(cursor) is None:
                raise foreign_cursor(cursor, "the events of a queue")
        if not cursors:
            await asyncio.sleep(timeout)
            return {}
        found = await self._sessions.current().followers.read(cursors, limit, timeout)
        return {
            queue: News(_records_of(entries), entries[-1][0]) for queue, entries in found.items()
        }


def _records_of(entries: Sequence[Sequence[Any]]) -> list[EventRecord]:
    """Return the event records of stream entries.

    Args:
        entries: Pairs of an entry's id and its fields.
    """
    found: list[EventRecord] = []
    for entry_id, flat in entries:
        fields = dict(zip(flat[::2], flat[1::2], strict=True))
        record = _record(int(entry_id.partition("-")[0]), fields)
        if record is None:
            continue
        if record.kind is EventKind.STALLED and found and found[-1] == _retrying(record):
            found.pop()  # BullMQ records "waiting" before "stalled"
        found.append(record)
    return found


def _retrying(record: EventRecord) -> EventRecord:
    return EventRecord(EventKind.RETRYING, record.job_id, record.at_ms)


def _record(at: int, fields: dict[str, str]) -> EventRecord | None:
    own = fields.get("toril")
    if own == _IGNORED:
        return None
    kind = _kind(fields) if own is None else _OWN.get(own)
    if kind is None:
        return None
    return EventRecord(kind, fields.get("jobId", ""), at, _data(kind, fields))


def _kind(fields: dict[str, str]) -> EventKind | None:
    event = fields.get("event", "")
    match event, fields.get("prev"):
        case "waiting", "active":
            return EventKind.RETRYING
        case "waiting", "delayed" | "waiting-children":
            return EventKind.PROMOTED
        case "waiting", "completed" | "failed":
            return EventKind.RETRIED
        case "delayed", _:
            return EventKind.RETRYING if "error" in fields else None
        case _:
            return _SAME_NAMES.get(event)


_SAME_NAMES = {
    kind.value: kind
    for kind in (
        EventKind.ACTIVE,
        EventKind.ADDED,
        EventKind.CANCELLED,
        EventKind.CHANGED,
        EventKind.COMPLETED,
        EventKind.DEDUPLICATED,
        EventKind.FAILED,
        EventKind.PAUSED,
        EventKind.PROGRESS,
        EventKind.REMOVED,
        EventKind.RESUMED,
        EventKind.STALLED,
    )
}
"""Events with the same name in BullMQ and Toril."""


def _data(kind: EventKind, fields: dict[str, str]) -> str | None:
    match kind:
        case EventKind.ADDED:
            return fields.get("name")
        case EventKind.COMPLETED:
            return fields.get("returnvalue")
        case EventKind.DEDUPLICATED:
            return fields.get("deduplicatedJobId")
        case EventKind.PROGRESS:
            return fields.get("data")
        case EventKind.FAILED | EventKind.RETRYING:
            reason = fields.get("failedReason")  # all that Node.js records
            return fields.get("error") or (as_json(("Error", reason)) if reason else None)
        case _:
            return None
