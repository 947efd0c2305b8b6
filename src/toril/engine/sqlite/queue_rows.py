"""The queues' own rows: a queue is a line of jobs, found by prefix and name."""

from __future__ import annotations

from typing import NamedTuple

from toril.engine.base import QueueInfo
from toril.engine.sqlite.queries import load
from toril.engine.sqlite.storage.transaction import Transaction
from toril.errors import NotFoundError
from toril.model.job import QueueRef
from toril.model.limits import KeyLimits, Limits
from toril.model.options import RateLimit
from toril.model.state import STORED, JobState

_sql = load("queue")


class Line(NamedTuple):
    """A queue as the store has it; see the table `queue` in schema."""

    ref: QueueRef
    id: int
    paused: int
    concurrency: int | None
    rate_max: int | None
    rate_per: int | None
    rate_burst: int | None
    window_count: int
    window_until: int
    key_field: str | None
    key_max: int | None
    key_per: int | None
    key_burst: int | None
    key_concurrency: int | None

    @property
    def rate(self) -> RateLimit | None:
        """How many jobs may start in a time."""
        return _rate(self.rate_max, self.rate_per, self.rate_burst)

    @property
    def by_key(self) -> KeyLimits | None:
        """What holds for each key."""
        rate = self.key_max, self.key_per, self.key_burst
        return _by_key(self.key_field, *rate, self.key_concurrency)


def _rate(most: int | None, per: int | None, burst: int | None) -> RateLimit | None:
    return None if most is None or per is None else RateLimit(most, per / 1000, burst)


def _by_key(
    field: str | None,
    most: int | None,
    per: int | None,
    burst: int | None,
    concurrency: int | None,
) -> KeyLimits | None:
    return None if field is None else KeyLimits(field, _rate(most, per, burst), concurrency)


def find(tx: Transaction, queue: QueueRef) -> Line | None:
    """Return a queue's row; None where there is no such queue."""
    row = tx.row(_sql["find"], prefix=queue.prefix, name=queue.name)
    return Line(queue, *row) if row else None


def require(tx: Transaction, queue: QueueRef) -> Line:
    """Return a queue's row.

    Raises:
        NotFoundError: There is no such queue.
    """
    line = find(tx, queue)
    if line is None:
        raise NotFoundError(f"there is no queue {str(queue)!r}")
    return line


def make(tx: Transaction, queue: QueueRef) -> Line:
    """Return a queue's row, making it if it is not there."""
    line = find(tx, queue)
    if line is None:
        tx.run(_sql["make"], prefix=queue.prefix, name=queue.name)
        line = require(tx, queue)
    return line


def limit(tx: Transaction, line: Line, limits: Limits) -> None:
    """Set the limits that are given."""
    if limits.concurrency is not None:
        tx.run(_sql["limit_concurrency"], queue=line.id, concurrency=limits.concurrency)
    rate = limits.rate
    if rate is not None:
        keeps_count = line.rate_burst is None and rate.burst is None
        tx.run(
            _sql["limit_rate"],
            queue=line.id,
            max=rate.max,
            per=rate.per_ms,
            burst=rate.burst,
            count=line.window_count if keeps_count else 0,
            until=line.window_until if keeps_count else 0,
        )
    by_key = limits.by_key
    if by_key is not None:
        rate = by_key.rate
        tx.run(
            _sql["limit_keys"],
            queue=line.id,
            field=by_key.field,
            max=None if rate is None else rate.max,
            per=None if rate is None else rate.per_ms,
            burst=None if rate is None else rate.burst,
            concurrency=by_key.concurrency,
        )


def lift(tx: Transaction, line: Line) -> None:
    """Take away all limits."""
    tx.run(_sql["lift"], queue=line.id)


def every(tx: Transaction) -> list[QueueInfo]:
    """Return all queues."""
    return [
        QueueInfo(
            QueueRef(prefix, name),
            bool(paused),
            concurrency,
            _rate(*limits[:3]),
            _by_key(*limits[3:]),
        )
        for prefix, name, paused, concurrency, *limits in tx.rows(_sql["all"])
    ]


def info(tx: Transaction, queue: QueueRef) -> QueueInfo | None:
    """Return a queue; None where there is no such queue."""
    line = find(tx, queue)
    if line is None:
        return None
    return QueueInfo(queue, bool(line.paused), line.concurrency, line.rate, line.by_key)


def counts(tx: Transaction, queue: QueueRef) -> dict[JobState, int]:
    """Return the number of jobs in each state, from the tally."""
    line = require(tx, queue)
    found = dict(tx.rows(_sql["counts"], queue=line.id))
    return {state: found.get(state.value, 0) for state in JobState if state in STORED}


def count(tx: Transaction, line: Line, state: JobState) -> int:
    """Return the number of jobs in one state."""
    return tx.value(_sql["count"], queue=line.id, state=state) or 0


def tally_added(tx: Transaction, line: Line, base: int, n: int) -> None:
    """Count new jobs, those with the `n` places in line after `base`."""
    tx.run(_sql["tally_added"], queue=line.id, base=base, count=n)


def tally_moved(
    tx: Transaction,
    line: Line,
    *,
    waiting: int = 0,
    prioritized: int = 0,
    active: int = 0,
    completed: int = 0,
) -> None:
    """Count jobs that went to `active` or `completed`, which no trigger counts.

    Args:
        tx: The transaction.
        line: The queue.
        waiting: How many more jobs are in this state now, or how many fewer; so all.
        prioritized: The same.
        active: The same.
        completed: The same.
    """
    tx.run(
        _sql["tally_moved"],
        queue=line.id,
        waiting=waiting,
        prioritized=prioritized,
        active=active,
        completed=completed,
    )


def tickets(tx: Transaction, n: int) -> int:
    """Draw n places in line; the first is one more than what is returned."""
    base: int = tx.value(_sql["take_tickets"], count=n)
    return base


def forget(tx: Transaction, line: Line) -> None:
    """Remove a queue whose jobs are gone, and all that is known of it."""
    for what in ("counts", "events", "metrics", "keys", "schedules", "producers"):
        tx.run(_sql[f"forget_{what}"], queue=line.id)
    tx.run(_sql["forget"], queue=line.id)
    tx.record = [row for row in tx.record if row[0] != line.id]
