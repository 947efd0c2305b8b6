"""The record of what happened: events for those who follow, counters for the statistics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from toril.engine.base import BUCKET, EventRecord, MetricsWindow
from toril.engine.sqlite import queue_rows
from toril.engine.sqlite.queries import load
from toril.engine.sqlite.storage.transaction import Transaction, as_json
from toril.errors import ValidationError
from toril.model import codec
from toril.model.job import QueueRef

_sql = load("record")

KEPT_EVENTS = 10_000  # of each queue, as many as BullMQ keeps
_LONGEST_CURSOR = 18  # digits
_TRIM_EVERY = 500  # rows
_KEPT_MINUTES = 14 * 24 * 60
_TRIM_WITHIN_MS = 1_000
MINUTE_MS = 60_000


def event(
    tx: Transaction,
    line: queue_rows.Line,
    kind: str,
    ids: Sequence[str],
    data: Sequence[str | None] | None = None,
) -> None:
    """Write down that something happened to jobs, in one row for all of them.

    Args:
        tx: The transaction.
        line: The queue.
        kind: What happened, see `EventRecord`.
        ids: The jobs; one empty id stands for the queue itself.
        data: What goes with each.
    """
    if ids:
        packed = None if data is None else as_json(data)
        tx.record.append((line.id, kind, as_json(ids), packed, len(ids)))
        tx.events.add(line.ref)


def write_down(tx: Transaction) -> None:
    """Store the events of a transaction, all in one statement, before it is committed."""
    if not tx.record:
        return
    tx.run(_sql["insert_events"], now=tx.now, rows=as_json(tx.record))
    if tx.value(_sql["last_cursor"]) % _TRIM_EVERY < len(tx.record):
        for queue in {row[0] for row in tx.record}:
            tx.run(_sql["trim_events"], queue=queue, kept=KEPT_EVENTS)


def count(tx: Transaction, line: queue_rows.Line, counts: Mapping[str, int]) -> None:
    """Add to this minute's counters.

    Args:
        tx: The transaction.
        line: The queue.
        counts: By the counter's name.
    """
    if counts:
        minute = tx.now // MINUTE_MS
        tx.run(_sql["count"], queue=line.id, minute=minute, counts=as_json(counts))
        if tx.now % MINUTE_MS < _TRIM_WITHIN_MS:  # now and then is enough
            tx.run(_sql["trim_counts"], queue=line.id, before=minute - _KEPT_MINUTES)


def bucket(bits: int) -> str:
    """Return the counter of durations of so many bits: those of 2^(bits-1) to 2^bits - 1 ms."""
    return f"{BUCKET}{bits}"


def window(tx: Transaction, queue: QueueRef, window_ms: int) -> MetricsWindow:
    """Return what the counters hold of the last `window_ms`."""
    line = queue_rows.require(tx, queue)
    since = (tx.now - window_ms) // MINUTE_MS + 1
    found = dict(tx.rows(_sql["counts_since"], queue=line.id, since=since))
    return MetricsWindow.of(found, window_ms)


def _read_cursor(cursor: str) -> int:
    if not (cursor.isascii() and cursor.isdecimal()) or len(cursor) > _LONGEST_CURSOR:
        raise ValidationError("cursor", f"{cursor!r} is not from the events of a queue")
    return int(cursor)


def events_after(
    tx: Transaction, queue: QueueRef, cursor: str | None, limit: int
) -> tuple[list[EventRecord], str]:
    """Return what was written down after a cursor, and where that ends."""
    line = queue_rows.find(tx, queue)
    if line is None:
        return [], cursor or "0"
    if cursor is None:
        return [], str(tx.value(_sql["last_event"], queue=line.id))
    found: list[EventRecord] = []
    last = _read_cursor(cursor)
    rows = tx.rows(_sql["events_after"], queue=line.id, cursor=last, limit=limit)
    for row, at, kind, jobs, data in rows:
        last = row
        ids = codec.decode(jobs)
        each = codec.decode(data) if data is not None else [None] * len(ids)
        found += [EventRecord(kind, i, at, d) for i, d in zip(ids, each, strict=True)]
        if len(found) >= limit:
            break
    return found, str(last)
