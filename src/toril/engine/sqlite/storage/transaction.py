"""The transaction that an operation runs in: the connection, the time, and who to wake."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import apsw
import msgspec

from toril.model.job import QueueRef
from toril.model.limits import Limits

Params: TypeAlias = Mapping[str, Any]

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


def as_json(value: Any) -> str:
    """Encode a value for a statement that unpacks it with json_each()."""
    return _encode(value).decode()


class Registered(NamedTuple):
    """Lasting limits of a queue that this process registered.

    Attributes:
        limits: The limits.
        row: The id of the queue's row when they were stored.
    """

    limits: Limits
    row: int


class Transaction:
    """One transaction of the writer. Operations that arrive together share it.

    Attributes:
        now: The store's time at the start, in milliseconds since 1970.
        work: Queues in which there may be new work for other workers.
        events: Queues that have new event records.
        record: Event records, as rows to store before the commit.
        registered: The lasting limits by queue, and the row that has them.
    """

    __slots__ = ("_cursor", "events", "now", "record", "registered", "work")

    def __init__(
        self, connection: apsw.Connection, now: int, registered: dict[QueueRef, Registered]
    ) -> None:
        """Wrap a connection on which the writer has already run BEGIN.

        Args:
            connection: The connection.
            now: The store's time, in milliseconds since 1970.
            registered: The lasting limits by queue.
        """
        self.registered = registered
        self._cursor = connection.cursor()
        self.now = now
        self.work: set[QueueRef] = set()
        self.events: set[QueueRef] = set()
        self.record: list[Sequence[Any]] = []

    def run(self, sql: str, **params: Any) -> int:
        """Run a statement without a result; return how many rows it changed."""
        self._cursor.execute(sql, params)
        return self._cursor.connection.changes()

    def row(self, sql: str, **params: Any) -> tuple[Any, ...] | None:
        """Return the first row, or None."""
        # Fetch all rows: a statement that has not finished would block the commit.
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
        """Return a set of rows that a statement packs into one JSON array.

        The statement takes a single step for the whole set. The thread therefore reacquires the
        GIL once instead of once per row, which matters while an event loop is busy.
        """
        found: list[Any] = _decode(self.value(sql, **params))
        return found


Operation: TypeAlias = Callable[..., Any]
"""A function of a Transaction and further arguments. It may run twice: if one of the operations
that share a transaction fails, all are rolled back and each runs again on its own."""

Rows: TypeAlias = Sequence[Sequence[Any]]
