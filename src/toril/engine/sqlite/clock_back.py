"""Makes up for a clock that was set back: nothing waits longer than was asked for.

Docs: "Clocks" in docs/internals.md lists every stored time that is compared with the clock.
"""

from __future__ import annotations

from typing import NamedTuple

from toril.engine.contract.rules import CHUNK, CLOCK_SLACK_MS, lease_ms_of
from toril.engine.sqlite import queue_rows, schedule_rows
from toril.engine.sqlite.queries import load
from toril.engine.sqlite.queue_rows import QueueRow
from toril.engine.sqlite.storage.transaction import Transaction, as_json
from toril.model.job import QueueRef

_sql = load("clock_back")

_END = 2**62


class Place(NamedTuple):
    """How far the delayed jobs of a queue have been checked, from the last to be due."""

    due_ms: int = _END
    position: int = _END


def shorten_leases(tx: Transaction, q: QueueRow) -> None:
    """Let no lease end later than it can by the clock as it is now.

    A worker that lives renews its leases. Those of a worker that died would otherwise hold its
    jobs until the clock has caught up.
    """
    rows = []
    for seq, token, until in tx.set_of(_sql["leases"], queue=q.id, now=tx.now, limit=CHUNK):
        lease_ms = lease_ms_of(token)
        if lease_ms is not None and until > tx.now + lease_ms + CLOCK_SLACK_MS:
            rows.append((seq, tx.now + lease_ms))
    if rows:
        tx.run(_sql["shorten_leases"], rows=as_json(rows))


def is_evident(tx: Transaction, q: QueueRow) -> bool:
    """Return whether the clock has been set back since the last rescue, or a job was delayed."""
    if tx.value(_sql["last_rescue"], queue=q.id) > tx.now:
        return True
    first = tx.row(_sql["first_delayed"], queue=q.id)
    return (
        first is not None and first[1] is not None and first[0] > tx.now + first[1] + CLOCK_SLACK_MS
    )


def shorten_delays(tx: Transaction, queue: QueueRef, place: Place) -> Place | None:
    """Let some delayed jobs wait no longer than they were asked to.

    Jobs that wait for a point in time go on waiting for it.

    Args:
        tx: The transaction.
        queue: The queue.
        place: Where to continue.

    Returns:
        The next place; None if all delayed jobs have been checked.
    """
    q = queue_rows.find(tx, queue)
    if q is None:
        return None
    if place == Place():
        _bring_schedules_forward(tx, q)
    found = tx.set_of(
        _sql["delayed"],
        queue=q.id,
        now=tx.now,
        due_at=place.due_ms,
        position=place.position,
        limit=CHUNK,
    )
    rows = [
        (seq, tx.now + delay)
        for seq, due, _, delay in found
        if delay is not None and due > tx.now + delay + CLOCK_SLACK_MS
    ]
    tx.run(_sql["shorten_delays"], rows=as_json(rows))
    tx.work.add(queue)
    return Place(*found[-1][1:3]) if len(found) == CHUNK else None


def _bring_schedules_forward(tx: Transaction, q: QueueRow) -> None:
    """Let the pending jobs of schedules be due when they are by the clock as it is now."""
    rows = []
    for row in schedule_rows.every(tx, q):
        due = row.schedule.next_by_clock(row.next_ms, tx.now)
        if row.job_id is not None and due is not None:
            rows.append((schedule_rows.job_seq(tx, q, row.job_id), due))
    tx.run(_sql["shorten_delays"], rows=as_json(rows))
