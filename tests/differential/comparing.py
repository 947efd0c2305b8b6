"""Two key spaces beside each other, but for what a table lets differ."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, NamedTuple

from tests.differential.keyspace import Event, KeySpace, parsed

_AS_JSON = frozenset({"data", "opts", "progress", "returnvalue", "stacktrace"})
_COUNTERS = frozenset({"atm", "ats", "stc"})
_EVENT_JSON = frozenset({"data", "returnvalue"})


class Difference(NamedTuple):
    """Something that is not compared.

    Attributes:
        kind: "key", "field" (of a job's hash), "option" (of a job's opts), "event", "event
            field", "apart" (events whose `prev` is that are compared without the others),
            "step" (an event that a step brings on one side: `step: event`), "marker", or "how":
            how a step is made, lest it differs.
        name: Its name.
        reason: Why it differs.
    """

    kind: str
    name: str
    reason: str


class Comparison:
    """Compares after each step; of events, those that are new."""

    def __init__(self, table: Iterable[Difference]) -> None:
        self._names: dict[str, set[str]] = {}
        for kind, name, _ in table:
            self._names.setdefault(kind, set()).add(name)
        self._seen = (0, 0)

    def restart(self) -> None:
        """Begin anew with the events: the streams were removed."""
        self._seen = (0, 0)

    def differing(self, ours: KeySpace, theirs: KeySpace, step: str, now: int) -> list[str]:
        """Return what differs and may not, a line each."""
        lines = _unequal(self._known(ours), self._known(theirs))
        lines += self._markers(ours, theirs, now)
        told = tuple(
            self._told(side.events[seen:], step)
            for side, seen in zip((ours, theirs), self._seen, strict=True)
        )
        self._seen = (len(ours.events), len(theirs.events))
        if told[0] != told[1]:
            lines.append(f"events: BullMQ {told[1]}\n        Toril  {told[0]}")
        return lines

    def _left_out(self, kind: str) -> Collection[str]:
        return self._names.get(kind, ())

    def _known(self, space: KeySpace) -> dict[str, Any]:
        left_out = {*self._left_out("key"), "marker"}
        jobs = space.jobs()
        return {
            key: (
                space.kinds[key],
                self._job(content) if key in jobs else _in_order(space.kinds[key], content),
                space.left.get(key),
            )
            for key, content in space.contents.items()
            if key not in left_out
        }

    def _job(self, fields: dict[str, str]) -> dict[str, Any]:
        found: dict[str, Any] = {
            field: parsed(text) if field in _AS_JSON else text
            for field, text in fields.items()
            if field not in self._left_out("field") and not (field in _COUNTERS and text == "0")
        }
        found["opts"] = {
            name: value
            for name, value in found["opts"].items()
            if value and name not in self._left_out("option")
        }
        return found

    def _told(self, events: Iterable[Event], step: str) -> list[dict[str, Any]]:
        told = self._compared(events, step)
        return sorted(told, key=lambda event: event.get("prev") in self._left_out("apart"))

    def _compared(self, events: Iterable[Event], step: str) -> list[dict[str, Any]]:
        return [
            {
                field: parsed(text) if field in _EVENT_JSON else text
                for field, text in event.items()
                if field not in self._left_out("event field")
            }
            for event in events
            if event["event"] not in self._left_out("event")
            and f"{step}: {event['event']}" not in self._left_out("step")
        ]

    @staticmethod
    def _markers(ours: KeySpace, theirs: KeySpace, now: int) -> list[str]:
        """Return where idle workers would sleep on, or wake too late."""
        mine, its = (side.contents.get("marker", {}) for side in (ours, theirs))
        lines = []
        wakes = "0" in mine or 0 < mine.get("1", 0) <= now
        if "0" in its and not wakes and has_work(theirs):
            lines.append(f"marker: work is left; BullMQ {its}, Toril {mine}")
        due = min(theirs.contents.get("delayed", {}).values(), default=0) // 0x1000
        told = mine.get("1", 0) // 1  # what is told too early costs a look
        if due and "1" in its and (not told or told > max(due, its["1"] // 1)):
            lines.append(f"marker: {due} is due next; BullMQ {its}, Toril {mine}")
        return lines


def has_work(space: KeySpace) -> bool:
    """Return whether a worker would get a job."""
    meta = space.contents.get("meta", {})
    full = "concurrency" in meta and len(space.members("active")) >= int(meta["concurrency"])
    limited = "max" in meta and int(space.contents.get("limiter", 0)) >= int(meta["max"])
    waits = space.members("wait") or space.members("prioritized")
    return bool(waits) and "paused" not in meta and not full and not limited


def _in_order(kind: str, content: Any) -> Any:
    return list(content.items()) if kind == "zset" else content


def _unequal(ours: dict[str, Any], theirs: dict[str, Any]) -> list[str]:
    return [
        f"{key}: BullMQ {theirs.get(key)}\n{' ' * len(key)}  Toril  {ours.get(key)}"
        for key in sorted(ours.keys() | theirs.keys())
        if ours.get(key) != theirs.get(key)
    ]
