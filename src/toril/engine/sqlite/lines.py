"""The queues' own rows: a queue is a line of jobs, found by prefix and name."""

from __future__ import annotations

from typing import NamedTuple

from toril.engine.base import QueueInfo
from toril.engine.sqlite.queries import load
from toril.engine.sqlite.transaction import Transaction
from toril.errors import NotFoundError
from toril.model.job import QueueRef
from toril.model.options import RateLimit
from toril.model.state import STORED, JobState

_sql = load("queue")


class Line(NamedTuple):
    """A queue as the store has it; see schema/0001_initial.sql."""

    ref: QueueRef
    id: int
    paused: int
    concurrency: int | None
    rate_max: int | None
    rate_per: int | None
    window_count: int
    window_until: int


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


def register(
    tx: Transaction,
    queue: QueueRef,
    *,
    rate_limit: RateLimit | None = None,
    concurrency: int | None = None,
) -> None:
    """Make a queue visible and set its limits."""
    line = make(tx, queue)
    if rate_limit is not None or concurrency is not None:
        tx.run(
            _sql["limit"],
            queue=line.id,
            concurrency=concurrency,
            rate_max=None if rate_limit is None else rate_limit.max,
            rate_per=None if rate_limit is None else rate_limit.per_ms,
        )
        tx.work.add(queue)


def every(tx: Transaction) -> list[QueueInfo]:
    """Return all queues."""
    return [
        QueueInfo(
            QueueRef(prefix, name),
            bool(paused),
            concurrency,
            None if rate_max is None else RateLimit(rate_max, rate_per / 1000),
        )
        for prefix, name, paused, concurrency, rate_max, rate_per in tx.rows(_sql["all"])
    ]


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
    for what in ("counts", "events", "metrics", "keys", "producers"):
        tx.run(_sql[f"forget_{what}"], queue=line.id)
    tx.run(_sql["forget"], queue=line.id)
    tx.record = [row for row in tx.record if row[0] != line.id]
