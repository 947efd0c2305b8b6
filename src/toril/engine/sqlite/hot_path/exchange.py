"""The hot path: settle what has finished and take new jobs, in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter
from typing import Any

from toril.engine.base import Exchange, Fetch, Refusal
from toril.engine.sqlite import events, keyed_lanes, queue_rows, schedules
from toril.engine.sqlite.hot_path.settle import settle
from toril.engine.sqlite.queries import load
from toril.engine.sqlite.rates import Meter, left_of, spend
from toril.engine.sqlite.storage.transaction import Transaction, as_json
from toril.model.job import Lease, QueueRef
from toril.model.settlement import Settlement
from toril.model.state import JobState

_sql = load("exchange")
_queue_sql = load("queue")

_PRIORITY, _SEQ, _POSITION = 8, 10, 11  # in a row of the query `next`
_in_line = itemgetter(_PRIORITY, _POSITION)


def exchange(
    tx: Transaction,
    queue: QueueRef,
    settlements: Sequence[Settlement],
    fetch: Fetch | None,
    *,
    token: str,
    signal: int,
) -> Exchange:
    """Settle and fetch; see `Engine.exchange`. The token is that of all new leases."""
    line = queue_rows.make(tx, queue)
    results: Sequence[Refusal | None] = ()
    made_work = False
    if settlements:
        results, made_work = settle(tx, line, settlements)
    if fetch is None:
        if made_work:
            tx.work.add(queue)
        return Exchange(results, (), None, None, signal)
    _promote_due(tx, line)
    leases, limited_until = _take(tx, line, fetch, token)
    if made_work and len(leases) == fetch.limit:
        tx.work.add(queue)  # more may be left than this worker took: others have to look
    due = None if len(leases) == fetch.limit else tx.value(_sql["next_due"], queue=line.id)
    return Exchange(results, leases, due, limited_until, signal)


def _promote_due(tx: Transaction, line: queue_rows.Line) -> None:
    next_due = tx.value(_sql["next_due"], queue=line.id)
    if next_due is not None and next_due <= tx.now:
        promote(tx, line, tx.set_of(_sql["due"], queue=line.id, now=tx.now))


def promote(tx: Transaction, line: queue_rows.Line, jobs: Sequence[tuple[int, str]]) -> None:
    """Make delayed jobs ready, behind those that are."""
    if not jobs:
        return
    base = queue_rows.tickets(tx, len(jobs))
    rows = [(seq, base + place) for place, (seq, _) in enumerate(jobs, 1)]
    tx.run(_sql["promote"], rows=as_json(rows))
    events.event(tx, line, "promoted", [job_id for _, job_id in jobs])


def _take(
    tx: Transaction, line: queue_rows.Line, fetch: Fetch, token: str
) -> tuple[list[Lease], int | None]:
    """Take as many jobs as there is room for, and the queue's limits allow."""
    room, limited_until = _room(tx, line, fetch.limit)
    if room < 1:
        return [], limited_until
    found = _next(tx, line, room)
    if not found:
        return [], _rested_at(tx, line)
    tx.run(
        _sql["take"],
        seqs=as_json([row[_SEQ] for row in found]),
        token=token,
        now=tx.now,
        until=tx.now + fetch.lease_ms,
    )
    _count_against_limit(tx, line, len(found))
    prioritized = sum(1 for row in found if row[_PRIORITY])
    queue_rows.tally_moved(
        tx,
        line,
        waiting=prioritized - len(found),
        prioritized=-prioritized,
        active=len(found),
    )
    events.event(tx, line, "active", [row[0] for row in found])
    leases = [_lease(line.ref, token, tx.now, row) for row in found]
    schedules.advance(tx, line, leases)
    return leases, limited_until if len(found) == room else _rested_at(tx, line)


def _next(tx: Transaction, line: queue_rows.Line, room: int) -> list[Any]:
    """Return the jobs to take, in the order in which to start them."""
    if line.by_key is not None:
        return keyed_lanes.pick(tx, line, line.by_key, room)
    found = tx.set_of(_sql["next"], queue=line.id, limit=room)
    found.sort(key=_in_line)
    return found


def _rested_at(tx: Transaction, line: queue_rows.Line) -> int | None:
    return None if line.key_field is None else keyed_lanes.rested_at(tx, line)


def _lease(queue: QueueRef, token: str, now: int, row: Sequence[Any]) -> Lease:
    """Make a lease of a row of the query `next`."""
    job_id, name, data, options, created, made, started, stalls, priority, failure, _, _ = row
    return Lease(
        queue,
        job_id,
        token,
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
    )  # fmt: skip - as the row


def _room(tx: Transaction, line: queue_rows.Line, wanted: int) -> tuple[int, int | None]:
    """Return how many jobs may be taken, and until when the rate limit lets through no more."""
    if line.paused:
        return 0, None
    room, limited_until = wanted, None
    if line.concurrency is not None:
        room = min(room, line.concurrency - queue_rows.count(tx, line, JobState.ACTIVE))
    rate = line.rate
    if rate is not None:
        left, until = left_of(rate, _meter(line), tx.now)
        if left < room:
            room, limited_until = left, until
    return room, limited_until


def _meter(line: queue_rows.Line) -> Meter:
    return Meter(line.window_count, line.window_until)


def _count_against_limit(tx: Transaction, line: queue_rows.Line, taken: int) -> None:
    rate = line.rate
    if rate is not None:
        count, until = spend(rate, _meter(line), taken, tx.now)
        tx.run(_queue_sql["set_window"], queue=line.id, count=count, until=until)
