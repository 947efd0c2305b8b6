"""Malformed jobs, as other programs, older versions and slips of the hand leave them in Redis."""

from __future__ import annotations

import json
import random
import socket
from collections.abc import Sequence
from typing import Any

import hiredis

DEEP = "[" * 100_000 + "]" * 100_000
NUMBERS = ("x", "", "1.5", "-3", "1e999", "nan", "-inf", "9" * 40, "0x1F", "1 2", "٣", "true")
TEXTS: tuple[Any, ...] = (
    DEEP, "{", "", "null", "5", "[]", '"text"', "1e999", b"\xff\xfe", '{"a":1,"a":2}', "\x00",
    '"\\ud83d"', '{"b":1e400}', "undefined", "NaN",
)  # fmt: skip
OPTIONS: tuple[Any, ...] = (
    *TEXTS,
    '{"tags":"urgent","removeOnComplete":true}',
    '{"tags":{"a":1},"removeOnComplete":true,"removeOnFail":true}',
    '{"tags":[{"a":[]},null,5],"removeOnComplete":true}',
    '{"attempts":"3","backoff":"x"}',
    '{"attempts":1e999}',
    '{"backoff":{"type":"exponential","delay":1e300}}',
    '{"removeOnComplete":{"count":"x","age":-1}}',
    '{"removeOnFail":"yes"}',
    '{"stackTraceLimit":99999999999999999999}',
    '{"kl":"x"}',
    '{"lifo":true,"priority":"x"}',
    '{"timeout":-5,"ttl":"x"}',
    '{"de":{"id":[],"ttl":"x"}}',
    '{"repeat":{"pattern":5},"repeatJobKey":7}',
)
PARENTS: tuple[tuple[Any, Any], ...] = (
    ("nonsense", "nonsense"),
    ("bull:none:1", '{"id":"1","queueKey":"bull:none"}'),
    ("bull:none:1", DEEP),
    ("bull:none:1", '{"id":5,"queueKey":7}'),
    ("bull:none:1", '{"id":"1","queueKey":"bull:none","fpof":true}'),
    ("", "null"),
    (":", "{}"),
)
"""The fields parentKey and parent."""
FIELDS = (
    "timestamp", "priority", "delay", "atm", "attemptsMade", "ats", "stc", "processedOn",
    "finishedOn",
)  # fmt: skip
TYPES: tuple[tuple[Any, ...], ...] = (
    ("SET", "text"),
    ("RPUSH", "a", "b"),
    ("SADD", "a"),
    ("ZADD", "1", "a"),
    ("XADD", "*", "a", "b"),
)
"""How to make a key that holds no hash: the command, and its arguments after the key."""
COMPANIONS = ("lock", "logs", "dependencies", "processed", "failed", "unsuccessful")


class Raw:
    """A plain connection to Redis, for what no client library would write."""

    def __init__(self, port: int) -> None:
        """Connect to a server on loopback."""
        self._socket = socket.create_connection(("127.0.0.1", port), 10)
        self._reader = hiredis.Reader()

    def send(self, commands: Sequence[Sequence[Any]]) -> list[Any]:
        """Send commands together, and return the replies; errors are returned too."""
        self._socket.sendall(b"".join(hiredis.pack_command(tuple(c)) for c in commands))
        replies: list[Any] = []
        while len(replies) < len(commands):
            while (reply := self._reader.gets()) is not False:
                replies.append(reply)
            if len(replies) < len(commands):
                self._reader.feed(self._socket.recv(1 << 16))
        return replies

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()


class Malformer:
    """Writes malformed jobs into a queue."""

    def __init__(self, raw: Raw, base: str, dice: random.Random) -> None:
        """Prepare.

        Args:
            raw: The connection.
            base: The prefix of the queue's keys, like "bull:q:".
            dice: Draws what is wrong with each job.
        """
        self._raw = raw
        self._base = base
        self._dice = dice

    def put(self, job_id: str) -> None:
        """Write a malformed job, and put its id where a worker finds it."""
        key, dice = f"{self._base}{job_id}", self._dice
        commands: list[tuple[Any, ...]] = []
        if dice.random() < 0.2:
            command, *args = dice.choice(TYPES)
            commands.append((command, key, *args))
        else:
            commands.append(("HSET", key, *self._fields()))
        if dice.random() < 0.2:
            companion = f"{key}:{dice.choice(COMPANIONS)}"
            command, *args = dice.choice((*TYPES, ("HSET", "a", "b")))
            if not companion.endswith(":dependencies") or command != "SADD":  # else it waits
                commands.append((command, companion, *args))
        commands.append(self._place(job_id))
        commands.append(("ZADD", f"{self._base}marker", "0", "0"))
        for reply in self._raw.send(commands):
            if isinstance(reply, Exception):
                raise reply

    def _fields(self) -> list[Any]:
        """Return a job's hash with one or more fields that BullMQ would not write."""
        dice = self._dice
        fields: dict[str, Any] = {
            "name": "good",
            "data": json.dumps({"n": 1}),
            "opts": '{"attempts":1}',
            "timestamp": "1700000000000.25",
            "delay": "0",
            "priority": "0",
        }
        for _ in range(dice.choice((1, 1, 2, 4))):
            match dice.randrange(8):
                case 0:
                    fields["data"] = dice.choice(TEXTS)
                case 1:
                    fields["opts"] = dice.choice(OPTIONS)
                case 2:
                    fields["parentKey"], fields["parent"] = dice.choice(PARENTS)
                case 3:
                    fields.pop(dice.choice(("name", "data", "opts", "timestamp")), None)
                case 4:
                    fields["name"] = dice.choice(("", "no such task", b"\xff", "x" * 5000, "\n"))
                case 5:
                    fields["deid"] = dice.choice(("", "k", b"\xff"))
                case 6:
                    fields["stacktrace"] = dice.choice(TEXTS)
                    fields["failedReason"] = dice.choice(TEXTS)
                    fields["errors"] = dice.choice(TEXTS)
                case 7:
                    fields[dice.choice(FIELDS)] = dice.choice(NUMBERS)
        flat = [part for pair in fields.items() for part in pair]
        return flat or ["priority", "0"]

    def _place(self, job_id: str) -> tuple[Any, ...]:
        """Return the command that puts an id into one of the queue's lists or sets."""
        base, dice = self._base, self._dice
        match dice.randrange(5):
            case 0:
                score = dice.choice(("5", "4294967297", "-1", "1e300", "-inf"))
                return "ZADD", f"{base}prioritized", score, job_id
            case 1:
                return "ZADD", f"{base}delayed", dice.choice(("1", "0", "-5", "-inf")), job_id
            case 2:
                return "RPUSH", f"{base}active", job_id  # its worker died: it is rescued
            case _:
                return dice.choice(("LPUSH", "RPUSH")), f"{base}wait", job_id
