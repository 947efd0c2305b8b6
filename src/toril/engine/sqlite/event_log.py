"""Writes event records, for followers to read."""

from __future__ import annotations

from collections.abc import Sequence

from toril.engine.contract.events import EventKind
from toril.engine.contract.rules import KEPT_EVENTS
from toril.engine.sqlite.queries import load
from toril.engine.sqlite.queue_rows import QueueRow
from toril.engine.sqlite.storage.transaction import Transaction, as_json

_sql = load("events")

_TRIM_EVERY = 500  # rows


def event(
    tx: Transaction,
    q: QueueRow,
    kind: EventKind,
    ids: Sequence[str],
    data: Sequence[str | None] | None = None,
) -> None:
    """Record an event of several jobs, as one row.

    Args:
        tx: The transaction.
        q: The queue.
        kind: What happened.
        ids: The jobs' ids; a single empty id stands for the queue itself.
        data: The data for each job, in the same order; see `EventKind`.
    """
    if ids:
        packed = None if data is None else as_json(data)
        tx.record.append((q.id, kind, as_json(ids), packed, len(ids)))
        tx.events.add(q.ref)


def write_events(tx: Transaction) -> None:
    """Store a transaction's event records in one statement, just before its commit."""
    if not tx.record:
        return
    tx.run(_sql["insert_events"], now=tx.now, rows=as_json(tx.record))
    if tx.value(_sql["last_cursor"]) % _TRIM_EVERY < len(tx.record):
        for queue in {row[0] for row in tx.record}:
            tx.run(_sql["trim_events"], queue=queue, kept=KEPT_EVENTS)
