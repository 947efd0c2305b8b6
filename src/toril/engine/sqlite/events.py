"""Reads event records and waits for new ones."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from toril.engine.contract.events import EventKind, EventRecord, News
from toril.engine.contract.rules import foreign_cursor
from toril.engine.sqlite import queue_rows
from toril.engine.sqlite.queries import load
from toril.engine.sqlite.storage.storage import Storage
from toril.engine.sqlite.storage.topic import Topic
from toril.engine.sqlite.storage.transaction import Transaction, as_json
from toril.model import codec
from toril.model.job import QueueRef

_sql = load("events")

_LONGEST_CURSOR = 18  # digits


class SqliteEvents:
    """The events of a SQLite store's queues; see `Events` in the contract."""

    def __init__(self, storage: Storage) -> None:
        """Use a storage.

        Args:
            storage: The engine's storage.
        """
        self._storage = storage

    async def tails(self, queues: Sequence[QueueRef]) -> dict[QueueRef, str]:
        return await self._storage.read(_tails, queues)

    async def read(
        self, cursors: Mapping[QueueRef, str], *, limit: int = 1000, timeout: float = 0
    ) -> dict[QueueRef, News]:
        after = {queue: _read_cursor(cursor) for queue, cursor in cursors.items()}
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        wake = self._storage.wake
        while True:
            tokens = {queue: wake.token(Topic.EVENT, queue) for queue in cursors}
            found = await self._storage.read(_news, after, limit)
            left = deadline - loop.time()
            if found or left <= 0:
                return found
            recheck_after = wake.lost_after
            await wake.wait(
                Topic.EVENT, tokens, left if recheck_after is None else min(left, recheck_after)
            )


def _read_cursor(cursor: str) -> int:
    if not (cursor.isascii() and cursor.isdecimal()) or len(cursor) > _LONGEST_CURSOR:
        raise foreign_cursor(cursor, "the events of a queue")
    return int(cursor)


def _tails(tx: Transaction, queues: Sequence[QueueRef]) -> dict[QueueRef, str]:
    found = {queue: queue_rows.find(tx, queue) for queue in queues}
    return {
        queue: "0" if q is None else str(tx.value(_sql["last_event"], queue=q.id))
        for queue, q in found.items()
    }


def _news(tx: Transaction, after: Mapping[QueueRef, int], limit: int) -> dict[QueueRef, News]:
    queues = {q.id: q.ref for q in queue_rows.find_many(tx, list(after))}
    cursors = [(row, after[ref]) for row, ref in queues.items()]
    found: dict[QueueRef, News] = {}
    rows = tx.rows(_sql["events_after"], cursors=as_json(cursors), limit=limit)
    full: set[int] = set()
    for row, at, queue, kind, jobs, data in rows:
        if queue in full:
            continue
        records, _ = found.get(queues[queue], ([], ""))
        ids = codec.decode(jobs)
        each = codec.decode(data) if data is not None else [None] * len(ids)
        event_kind = EventKind(kind)
        records = [
            *records,
            *(EventRecord(event_kind, i, at, d) for i, d in zip(ids, each, strict=True)),
        ]
        found[queues[queue]] = News(records, str(row))
        if len(records) >= limit:
            full.add(queue)
    return found
