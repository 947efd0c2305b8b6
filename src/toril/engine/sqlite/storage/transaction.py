"""What an operation sees while it runs: the connection, the time, and what to announce."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import apsw
import msgspec

from toril.model.job import QueueRef

Params: TypeAlias = Mapping[str, Any]

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


def as_json(value: Any) -> str:
    """Return what a statement is to unpack with json_each()."""
    return _encode(value).decode()


class Transaction:
    """One transaction of the writer. Operations that arrived together share it.

    Attributes:
        now: The store's time when it began, in milliseconds since 1970.
        work: Queues in which there may be new work for others.
        events: Queues in which something happened that others may follow.
        record: What happened, as rows that are stored before the commit.
    """

    __slots__ = ("_cursor", "events", "now", "record", "work")

    def __init__(self, connection: apsw.Connection, now: int) -> None:
        """Begin to keep track; BEGIN is the writer's."""
        self._cursor = connection.cursor()
        self.now = now
        self.work: set[QueueRef] = set()
        self.events: set[QueueRef] = set()
        self.record: list[Sequence[Any]] = []

    def run(self, sql: str, **params: Any) -> int:
        """Run a statement that answers nothing; return how many rows it changed."""
        self._cursor.execute(sql, params)
        return self._cursor.connection.changes()

    def row(self, sql: str, **params: Any) -> tuple[Any, ...] | None:
        """Return the first row, or None."""
        # All rows are fetched: a statement that is not at its end would bar the commit.
        rows = self._cursor.execute(sql, params).fetchall()
        return rows[0] if rows else None

    def rows(self, sql: str, **params: Any) -> list[tuple[Any, ...]]:
        """Return all rows."""
        return self._cursor.execute(sql, params).fetchall()

    def value(self, sql: str, **params: Any) -> Any:
        """Return the first column of the first row, or None."""
        row = self.row(sql, **params)
        return row[0] if row else None

    def set_of(self, sql: str, **params: Any) -> list[Any]:
        """Return a set that a statement packed into one JSON array.

        One step of the statement for the whole set: the interpreter's lock is taken
        again once, and not once a row while a busy event loop holds it.
        """
        found: list[Any] = _decode(self.value(sql, **params))
        return found


Operation: TypeAlias = Callable[..., Any]
"""A function of a Transaction and its own arguments. It may run twice: when one of the
operations that share a transaction fails, all are undone and each runs again alone."""

Rows: TypeAlias = Sequence[Sequence[Any]]
