"""Queue rows: lookup by prefix and name, limits, counts, and tickets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from toril.engine.contract.queues import QueueInfo
from toril.engine.contract.rules import no_such_queue
from toril.engine.sqlite.queries import load
from toril.engine.sqlite.storage.transaction import Transaction, as_json
from toril.model.job import QueueRef
from toril.model.limits import KeyLimits, Limits, RateLimit
from toril.model.state import STORED, JobState

_sql = load("queue_rows")


class QueueRow(NamedTuple):
    """A row of the table `queue`; see the schema."""

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
    def info(self) -> QueueInfo:
        """The queue's settings, as the contract defines them."""
        return QueueInfo(self.ref, bool(self.paused), self.concurrency, self.rate, self.by_key)

    @property
    def rate(self) -> RateLimit | None:
        """The rate limit of the whole queue."""
        return _rate(self.rate_max, self.rate_per, self.rate_burst)

    @property
    def by_key(self) -> KeyLimits | None:
        """The limits by key."""
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


def find(tx: Transaction, queue: QueueRef) -> QueueRow | None:
    """Return a queue's row; None if the queue does not exist."""
    row = tx.row(_sql["find"], prefix=queue.prefix, name=queue.name)
    return QueueRow(queue, *row) if row else None


def find_many(tx: Transaction, queues: Sequence[QueueRef]) -> list[QueueRow]:
    """Return the rows of the queues that exist, in the order given."""
    rows = tx.rows(_sql["find_many"], queues=as_json(queues))
    return [QueueRow(QueueRef(prefix, name), *row) for prefix, name, *row in rows]


def require(tx: Transaction, queue: QueueRef) -> QueueRow:
    """Return a queue's row.

    Raises:
        NotFoundError: The queue does not exist.
    """
    q = find(tx, queue)
    if q is None:
        raise no_such_queue(queue)
    return q


def make(tx: Transaction, queue: QueueRef) -> QueueRow:
    """Return a queue's row, creating it if it does not exist."""
    q = find(tx, queue)
    if q is None:
        tx.run(_sql["make"], id=tx.value(_sql["take_id"]), prefix=queue.prefix, name=queue.name)
        q = require(tx, queue)
    return q


def limit(tx: Transaction, q: QueueRow, limits: Limits) -> None:
    """Store the limits that are set, leaving the others unchanged."""
    if limits.concurrency is not None:
        tx.run(_sql["limit_concurrency"], queue=q.id, concurrency=limits.concurrency)
    rate = limits.rate
    if rate is not None:
        keeps_count = q.rate_burst is None and rate.burst is None
        tx.run(
            _sql["limit_rate"],
            queue=q.id,
            max=rate.max,
            per=rate.per_ms,
            burst=rate.burst,
            count=q.window_count if keeps_count else 0,
            until=q.window_until if keeps_count else 0,
        )
    by_key = limits.by_key
    if by_key is not None:
        rate = by_key.rate
        tx.run(
            _sql["limit_keys"],
            queue=q.id,
            field=by_key.field,
            max=None if rate is None else rate.max,
            per=None if rate is None else rate.per_ms,
            burst=None if rate is None else rate.burst,
            concurrency=by_key.concurrency,
        )


def clear_limits(tx: Transaction, q: QueueRow) -> None:
    """Remove all limits."""
    tx.run(_sql["clear_limits"], queue=q.id)


def every(tx: Transaction) -> list[QueueRow]:
    """Return all queues, ordered by prefix and name."""
    rows = tx.rows(_sql["all"])
    return [QueueRow(QueueRef(prefix, name), *row) for prefix, name, *row in rows]


def counts(tx: Transaction, queues: Sequence[QueueRow]) -> dict[int, dict[JobState, int]]:
    """Return the number of jobs in each state, from the tally, by the queue's row id."""
    found = {q.id: {state: 0 for state in JobState if state in STORED} for q in queues}
    for queue, state, number in tx.rows(_sql["counts"], queues=as_json(list(found))):
        found[queue][JobState(state)] = number
    return found


def with_work(tx: Transaction, queues: Sequence[QueueRef]) -> list[QueueRef]:
    """Return the queues that have ready or due jobs, and those that no longer exist."""
    return [
        queues[index] for index in tx.set_of(_sql["with_work"], queues=as_json(queues), now=tx.now)
    ]


def count(tx: Transaction, q: QueueRow, state: JobState) -> int:
    """Return the number of jobs in one state."""
    return tx.value(_sql["count"], queue=q.id, state=state) or 0


def tally_added(tx: Transaction, q: QueueRow, base: int, n: int) -> None:
    """Add new jobs to the tally: those among the `n` row ids after `base`."""
    tx.run(_sql["tally_added"], queue=q.id, base=base, count=n)


def tally_moved(
    tx: Transaction,
    q: QueueRow,
    *,
    waiting: int = 0,
    prioritized: int = 0,
    active: int = 0,
    completed: int = 0,
) -> None:
    """Update the tally for jobs that became `active` or `completed`: no trigger counts those.

    Args:
        tx: The transaction.
        q: The queue.
        waiting: The change in the number of waiting jobs.
        prioritized: The change in the number of prioritized jobs.
        active: The change in the number of active jobs.
        completed: The change in the number of completed jobs.
    """
    tx.run(
        _sql["tally_moved"],
        queue=q.id,
        waiting=waiting,
        prioritized=prioritized,
        active=active,
        completed=completed,
    )


def tickets(tx: Transaction, n: int) -> int:
    """Reserve `n` consecutive numbers and return the one before the first."""
    base: int = tx.value(_sql["take_tickets"], count=n)
    return base


def set_window(tx: Transaction, q: QueueRow, count: int, until: int) -> None:
    """Store how much of the rate limit is used; see `rates.Meter`."""
    tx.run(_sql["set_window"], queue=q.id, count=count, until=until)


def set_paused(tx: Transaction, q: QueueRow, *, paused: bool) -> None:
    """Pause or resume a queue."""
    tx.run(_sql["set_paused"], queue=q.id, paused=int(paused))


def may_rescue(tx: Transaction, q: QueueRow, within_ms: int) -> bool:
    """Return whether no other rescue ran within this many ms; if so, record this one."""
    return tx.row(_sql["rescued"], queue=q.id, now=tx.now, within=within_ms) is not None


def forget(tx: Transaction, q: QueueRow) -> None:
    """Remove a queue that has no jobs left, and everything stored for it."""
    for what in ("counts", "events", "metrics", "keys", "schedules", "producers"):
        tx.run(_sql[f"forget_{what}"], queue=q.id)
    tx.run(_sql["forget"], queue=q.id)
    tx.record = [row for row in tx.record if row[0] != q.id]
