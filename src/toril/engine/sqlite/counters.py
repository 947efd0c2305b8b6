"""Counters per minute, for the metrics of queues."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from toril.engine.contract.metrics import BUCKET, MetricsWindow
from toril.engine.contract.rules import KEPT_MINUTES
from toril.engine.sqlite.queries import load
from toril.engine.sqlite.queue_rows import QueueRow
from toril.engine.sqlite.storage.transaction import Transaction, as_json

_sql = load("counters")

_TRIM_WITHIN_MS = 1_000
MINUTE_MS = 60_000


def count(tx: Transaction, q: QueueRow, counts: Mapping[str, int]) -> None:
    """Add to this minute's counters.

    Args:
        tx: The transaction.
        q: The queue.
        counts: How much to add, by the counter's name.
    """
    if counts:
        minute = tx.now // MINUTE_MS
        tx.run(_sql["count"], queue=q.id, minute=minute, counts=as_json(counts))
        if tx.now % MINUTE_MS < _TRIM_WITHIN_MS:  # trimming occasionally is enough
            tx.run(_sql["trim_counts"], queue=q.id, before=minute - KEPT_MINUTES)


def bucket(bits: int) -> str:
    """Return the counter for durations of 2^(bits-1) to 2^bits - 1 ms."""
    return f"{BUCKET}{bits}"


def windows(
    tx: Transaction, queues: Sequence[QueueRow], window_ms: int
) -> dict[int, MetricsWindow]:
    """Return the counters of the last `window_ms` milliseconds, by the queue's row id."""
    since = (tx.now - window_ms) // MINUTE_MS + 1
    sums: dict[int, dict[str, int]] = {q.id: {} for q in queues}
    last = tx.now // MINUTE_MS
    rows = tx.rows(_sql["counts_since"], queues=as_json(list(sums)), since=since, last=last)
    for queue, what, total in rows:
        sums[queue][what] = total
    return {queue: MetricsWindow.of(found, window_ms) for queue, found in sums.items()}
