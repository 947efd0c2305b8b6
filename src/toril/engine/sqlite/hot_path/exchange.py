"""Exchanges: settle finished jobs and fetch new ones in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter
from typing import Any

from toril.engine.contract.events import EventKind
from toril.engine.contract.hot_path import Exchange, Fetch, Refusal, WakeToken
from toril.engine.sqlite import event_log, job_rows, keyed_lanes, queue_rows, registration
from toril.engine.sqlite.hot_path import carry_on
from toril.engine.sqlite.hot_path.settle import settle
from toril.engine.sqlite.queries import load
from toril.engine.sqlite.queue_rows import QueueRow
from toril.engine.sqlite.rates import Meter, left_of, spend
from toril.engine.sqlite.storage.transaction import Transaction, as_json
from toril.model.job import Lease, QueueRef
from toril.model.settlement import Settlement
from toril.model.state import JobState

_sql = load("exchange")

_PRIORITY, _FAILURE, _SEQ, _POSITION = 8, 9, 10, 11  # in a row of the query `next`
_in_line = itemgetter(_PRIORITY, _POSITION)


def exchange(
    tx: Transaction,
    queue: QueueRef,
    settlements: Sequence[Settlement],
    fetch: Fetch | None,
    *,
    lease_token: str,
    token: WakeToken,
) -> Exchange:
    """Settle and fetch; see `Engine.exchange`.

    Args:
        tx: The transaction.
        queue: The queue.
        settlements: How to settle the finished jobs.
        fetch: What to fetch; None fetches nothing.
        lease_token: The lease token of all jobs that are fetched.
        token: The wake-up token to return for `Engine.wait`.
    """
    q = registration.present(tx, queue)
    results: Sequence[Refusal | None] = ()
    made_work = False
    if settlements:
        results, made_work = settle(tx, q, settlements)
    if fetch is None:
        if made_work:
            tx.work.add(queue)
        return Exchange(results, (), None, None, token)
    _promote_due(tx, q)
    leases, limited_until = _take(tx, q, fetch, lease_token)
    if made_work and len(leases) == fetch.limit:
        tx.work.add(queue)  # jobs may be left that this worker has no room for
    due = None if len(leases) == fetch.limit else tx.value(_sql["next_due"], queue=q.id)
    return Exchange(results, leases, due, limited_until, token)


def _promote_due(tx: Transaction, q: QueueRow) -> None:
    next_due = tx.value(_sql["next_due"], queue=q.id)
    if next_due is not None and next_due <= tx.now:
        job_rows.promote(tx, q, tx.set_of(_sql["due"], queue=q.id, now=tx.now))


def _take(
    tx: Transaction, q: QueueRow, fetch: Fetch, lease_token: str
) -> tuple[list[Lease], int | None]:
    """Fetch as many jobs as the worker has room for and the queue's limits allow."""
    leases: list[Lease] = []
    while True:
        room, limited_until = _room(tx, q, fetch.limit - len(leases))
        found = _next(tx, q, room) if room > 0 else []
        if found:
            _lease_out(tx, q, found, lease_token, fetch.lease_ms)
            leases += [_lease(q.ref, lease_token, tx.now, row) for row in found]
        counted = sum(1 for row in found if row[_FAILURE] is None)
        q = _count_against_limit(tx, q, counted)
        if len(found) < room:
            limited_until = _rested_at(tx, q)
        # Jobs that fail without running do not count against the rate limit, so others may
        # be fetched in their stead.
        if limited_until is None or counted == len(found) or len(found) < room:
            carry_on.advance(tx, q, leases)
            return leases, limited_until


def _lease_out(
    tx: Transaction, q: QueueRow, found: Sequence[Any], lease_token: str, lease_ms: int
) -> None:
    tx.run(
        _sql["take"],
        seqs=as_json([row[_SEQ] for row in found]),
        token=lease_token,
        now=tx.now,
        until=tx.now + lease_ms,
    )
    prioritized = sum(1 for row in found if row[_PRIORITY])
    queue_rows.tally_moved(
        tx,
        q,
        waiting=prioritized - len(found),
        prioritized=-prioritized,
        active=len(found),
    )
    event_log.event(tx, q, EventKind.ACTIVE, [row[0] for row in found])


def _next(tx: Transaction, q: QueueRow, room: int) -> list[Any]:
    """Return the jobs to fetch, in the order in which to start them."""
    if q.by_key is not None:
        return keyed_lanes.pick(tx, q, q.by_key, room)
    found = tx.set_of(_sql["next"], queue=q.id, limit=room)
    found.sort(key=_in_line)
    return found


def _rested_at(tx: Transaction, q: QueueRow) -> int | None:
    return None if q.key_field is None else keyed_lanes.rested_at(tx, q)


def _lease(queue: QueueRef, lease_token: str, now: int, row: Sequence[Any]) -> Lease:
    """Build a lease from a row of the query `next`."""
    job_id, name, data, options, created, made, started, stalls, priority, failure, _, _ = row
    return Lease(
        queue,
        job_id,
        lease_token,
        name,
        data,
        options,
        created,
        now,
        made,
        started,
        stalls,
        priority,
        failure,
    )  # fmt: skip - same order as the row


def _room(tx: Transaction, q: QueueRow, wanted: int) -> tuple[int, int | None]:
    """Return how many jobs may be fetched, and until when the rate limit allows no more."""
    if q.paused:
        return 0, None
    room, limited_until = wanted, None
    if q.concurrency is not None:
        room = min(room, q.concurrency - queue_rows.count(tx, q, JobState.ACTIVE))
    rate = q.rate
    if rate is not None:
        left, until = left_of(rate, _meter(q), tx.now)
        if left < room:
            room, limited_until = left, until
    return room, limited_until


def _meter(q: QueueRow) -> Meter:
    return Meter(q.window_count, q.window_until)


def _count_against_limit(tx: Transaction, q: QueueRow, taken: int) -> QueueRow:
    """Count jobs against the rate limit; return the queue with the new count."""
    rate = q.rate
    if rate is None or not taken:
        return q
    count, until = spend(rate, _meter(q), taken, tx.now)
    queue_rows.set_window(tx, q, count, until)
    return q._replace(window_count=count, window_until=until)
