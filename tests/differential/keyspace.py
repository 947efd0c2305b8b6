"""A queue as it lies in Redis: every key under its prefix, read in one call."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redis import Redis

_SCRIPT = Path(__file__).with_name("snapshot.lua").read_text()

Event = dict[str, str]


@dataclass
class KeySpace:
    """The keys of a queue by what stands behind its prefix.

    Attributes:
        kinds: The type of each.
        contents: What each holds: lists, sets of scores by member (in order), hashes, texts.
        left: How long each that ends has left, in milliseconds.
        events: The stream's entries without their ids.
    """

    kinds: dict[str, str]
    contents: dict[str, Any]
    left: dict[str, int]
    events: list[Event]

    def jobs(self) -> dict[str, dict[str, str]]:
        """Return the jobs' hashes."""
        return {
            key: content
            for key, content in self.contents.items()
            if self.kinds[key] == "hash" and "timestamp" in content
        }

    def members(self, key: str) -> list[str]:
        """Return what stands in a list or a set, in order; nothing where it is not there."""
        return list(self.contents.get(key, ()))


def read(redis: Redis, prefix: str) -> KeySpace:
    """Read all keys of a queue.

    Args:
        redis: The database.
        prefix: The queue's prefix, with its colon.
    """
    found = KeySpace({}, {}, {}, [])
    for key, kind, left, content in redis.eval(_SCRIPT, 0, prefix):
        found.kinds[key] = kind
        if left >= 0:
            found.left[key] = left
        if kind == "stream":
            found.events = [_pairs(fields) for _, fields in content]
        else:
            found.contents[key] = _content(kind, content)
    return found


def _content(kind: str, content: Any) -> Any:
    match kind:
        case "hash":
            return _pairs(content)
        case "zset":
            return {member: float(score) for member, score in _pairs(content).items()}
        case "set":
            return set(content)
        case _:
            return content


def _pairs(flat: Sequence[str]) -> dict[str, str]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


def parsed(text: str) -> Any:
    """Return JSON as a value; what is none stays as it is."""
    try:
        return json.loads(text)
    except ValueError:
        return text
