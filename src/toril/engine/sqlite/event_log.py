"""Writing down what happened, for those who follow it."""

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
    """Record that something happened to jobs, in one row for all of them.

    Args:
        tx: The transaction.
        q: The queue.
        kind: What happened.
        ids: The jobs; one empty id stands for the queue itself.
        data: See `EventKind`; one for each job.
    """
    if ids:
        packed = None if data is None else as_json(data)
        tx.record.append((q.id, kind, as_json(ids), packed, len(ids)))
        tx.events.add(q.ref)


def write_down(tx: Transaction) -> None:
    """Store the events of a transaction, all in one statement, before it is committed."""
    if not tx.record:
        return
    tx.run(_sql["insert_events"], now=tx.now, rows=as_json(tx.record))
    if tx.value(_sql["last_cursor"]) % _TRIM_EVERY < len(tx.record):
        for queue in {row[0] for row in tx.record}:
            tx.run(_sql["trim_events"], queue=queue, kept=KEPT_EVENTS)
