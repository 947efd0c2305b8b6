"""Settles finished jobs whose leases are still held."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from typing import Any

import msgspec
from msgspec.structs import replace

from toril.engine.contract.events import EventKind
from toril.engine.contract.hot_path import Refusal
from toril.engine.contract.rules import KEPT_ERRORS
from toril.engine.sqlite import counters, event_log, job_rows, queue_rows
from toril.engine.sqlite.hot_path.add import add_all
from toril.engine.sqlite.queries import load
from toril.engine.sqlite.queue_rows import QueueRow
from toril.engine.sqlite.storage.transaction import Transaction, as_json
from toril.model import codec
from toril.model.durations import LATEST_MS
from toril.model.job import AttemptError, Lease, NewJob, QueueRef
from toril.model.options import Keep
from toril.model.outcome import CANCEL_REASON
from toril.model.settlement import Complete, Fail, Release, Retry, Settlement, follow_ups_of
from toril.model.state import JobState

_sql = load("settle")


class Held(msgspec.Struct, array_like=True, frozen=True):
    """A lease that is still held; a row of the query `held`."""

    index: int
    seq: int
    started_at: int
    has_key: int
    cancel_requested: int


_decode_held = msgspec.json.Decoder(list[Held]).decode


def held(tx: Transaction, q: QueueRow, leases: Sequence[Lease]) -> list[Held]:
    """Return the leases that are still held, without duplicates."""
    return _of(tx, q, leases, tx.now)


def not_rescued(tx: Transaction, q: QueueRow, leases: Sequence[Lease]) -> list[Held]:
    """Like `held`, but also return leases that have run out, if nobody took their jobs."""
    return _of(tx, q, leases, 0)


def _of(tx: Transaction, q: QueueRow, leases: Sequence[Lease], since: int) -> list[Held]:
    pairs = as_json([(lease.id, lease.token) for lease in leases])
    packed = tx.value(_sql["held"], queue=q.id, leases=pairs, now=since)
    found = _decode_held(packed)
    if len(found) > 1 and len({job.seq for job in found}) < len(found):
        # A lease was given twice: keep the first.
        found = list({job.seq: job for job in reversed(found)}.values())[::-1]
    return found


def seqs_by_index(tx: Transaction, q: QueueRow, leases: Sequence[Lease]) -> dict[int, int]:
    """Return the row id of each lease's job, by the lease's index, without lost leases."""
    pairs = as_json([(lease.id, lease.token) for lease in leases])
    found = tx.set_of(_sql["held"], queue=q.id, leases=pairs, now=tx.now)
    return {row[0]: row[1] for row in found}


def settle(
    tx: Transaction, q: QueueRow, settlements: Sequence[Settlement]
) -> tuple[list[Refusal | None], bool]:
    """Settle jobs; return each settlement's result, and whether other jobs may now run."""
    mine = held(tx, q, [s.lease for s in settlements])
    results: list[Refusal | None] = [None] * len(settlements)
    if len(mine) < len(settlements):
        results = _refusals(tx, q, settlements, {job.index for job in mine})
    counts: Counter[str] = Counter()
    if any(job.has_key for job in mine):
        job_rows.release_keys(tx, q, [job.seq for job in mine if _is_final(settlements[job.index])])
    follow_ups = _follow_ups(tx, [(job, settlements[job.index]) for job in mine])
    by_kind: dict[type[Settlement], list[tuple[Held, Any]]] = {}
    for job in mine:
        settlement = settlements[job.index]
        by_kind.setdefault(type(settlement), []).append((job, settlement))
    for kind, jobs in by_kind.items():
        _SETTLE[kind](tx, q, jobs, counts)
    for queue, new in follow_ups:
        add_all(tx, queue, new)
    durations = [max(tx.now - job.started_at, 0) for job in mine]  # the clock may have gone back
    counts["duration_ms"] += sum(durations)
    for bits, n in Counter(map(int.bit_length, durations)).items():
        counts[counters.bucket(bits)] += n
    counters.count(tx, q, counts)
    given_back = any(not _is_final(settlements[job.index]) for job in mine)
    freed = (q.concurrency is not None or q.key_field is not None) and bool(mine)
    return results, given_back or freed


def _follow_ups(
    tx: Transaction, jobs: Sequence[tuple[Held, Settlement]]
) -> list[tuple[QueueRef, list[NewJob]]]:
    """Return the follow-ups by queue. Call this before retention removes any stored errors."""
    found: list[tuple[QueueRef, list[NewJob]]] = []
    for held_job, settlement in jobs:
        for follow_up in follow_ups_of([settlement]):
            new = follow_up.job
            if follow_up.with_errors:
                new = replace(new, data=_with_errors(tx, new.data, held_job, settlement))
            if not found or found[-1][0] != follow_up.queue:
                found.append((follow_up.queue, []))
            found[-1][1].append(new)
    return found


def _with_errors(tx: Transaction, data: str, job: Held, settlement: Settlement) -> str:
    """Add the errors of all attempts to a payload."""
    rows = tx.rows(_sql["errors"], seq=job.seq, keep=KEPT_ERRORS)
    errors = [AttemptError(*row) for row in rows]
    if isinstance(settlement, Fail):
        last = replace(settlement.error, started_ms=job.started_at, ended_ms=tx.now)
        errors = [*errors, last][-KEPT_ERRORS:]
    return codec.dump({**codec.decode(data), "errors": errors})


def _is_final(settlement: Settlement) -> bool:
    return isinstance(settlement, Complete | Fail)


def _refusals(
    tx: Transaction, q: QueueRow, settlements: Sequence[Settlement], accepted: set[int]
) -> list[Refusal | None]:
    """Return why each settlement was refused; None for those that were accepted."""
    ids = as_json([s.lease.id for s in settlements])
    present = set(tx.set_of(_sql["present"], queue=q.id, ids=ids))
    return [
        None
        if index in accepted
        else Refusal.LEASE_LOST
        if settlement.lease.id in present
        else Refusal.MISSING
        for index, settlement in enumerate(settlements)
    ]


def _complete(
    tx: Transaction, q: QueueRow, jobs: list[tuple[Held, Complete]], counts: Counter[str]
) -> None:
    counts["completed"] += len(jobs)
    rows = [
        (job.seq, s.result_json)
        for job, s in jobs
        if s.result_json is not None and not _removes_at_once(s.keep)
    ]
    if rows:  # before retention, which removes results together with their jobs
        tx.run(_sql["insert_results"], rows=as_json(rows))
    for keep, group in groupby(jobs, key=lambda pair: pair[1].keep):
        _finish(tx, q, JobState.COMPLETED, [job.seq for job, _ in group], keep)
    event_log.event(
        tx, q, EventKind.COMPLETED, [s.lease.id for _, s in jobs], _results_for_waiters(jobs)
    )


def _results_for_waiters(jobs: list[tuple[Held, Complete]]) -> list[str | None] | None:
    """Return the results of jobs that retention may remove, for waiters to read from the event."""
    if all(s.keep is None for _, s in jobs):
        return None
    return [None if s.keep is None else s.result_json or "null" for _, s in jobs]


def _removes_at_once(keep: Keep | None) -> bool:
    return keep is not None and keep.count == 0


def _fail(
    tx: Transaction, q: QueueRow, jobs: list[tuple[Held, Fail]], counts: Counter[str]
) -> None:
    counts["failed"] += len(jobs)
    _write_errors(tx, [(job.seq, s.error) for job, s in jobs if not _removes_at_once(s.keep)])
    for keep, group in groupby(jobs, key=lambda pair: pair[1].keep):
        _finish(tx, q, JobState.FAILED, [job.seq for job, _ in group], keep)
    event_log.event(
        tx,
        q,
        EventKind.FAILED,
        [s.lease.id for _, s in jobs],
        [as_json((s.error.type, s.error.message)) for _, s in jobs],
    )


def _finish(
    tx: Transaction, q: QueueRow, state: JobState, seqs: Sequence[int], keep: Keep | None
) -> None:
    """Move jobs to a final state and apply the retention."""
    if _removes_at_once(keep):
        job_rows.remove(tx, seqs)
        return
    age = None if keep is None else keep.age_ms
    tx.run(_sql["finish"], state=state, now=tx.now, age=age, seqs=as_json(seqs))
    if state is JobState.COMPLETED:
        queue_rows.tally_moved(tx, q, active=-len(seqs), completed=len(seqs))
    if keep is not None:
        trim(tx, q, state, keep)


def trim(tx: Transaction, q: QueueRow, state: JobState, keep: Keep) -> None:
    """Apply a retention: remove jobs that are too old, then the oldest ones in excess."""
    if keep.age_ms is not None:
        before = tx.now - keep.age_ms
        tx.run(_sql["trim_by_age"], queue=q.id, state=state, before=before)
    if keep.count is not None:
        excess = queue_rows.count(tx, q, state) - keep.count
        if excess > 0:
            tx.run(_sql["trim_by_count"], queue=q.id, state=state, excess=excess)


def _write_errors(tx: Transaction, errors: Sequence[tuple[int, AttemptError]]) -> None:
    if errors:
        rows = as_json([(seq, e.attempt, e.type, e.message, e.stack) for seq, e in errors])
        tx.run(_sql["insert_errors"], rows=rows, now=tx.now)
        if any(e.attempt > KEPT_ERRORS for _, e in errors):
            tx.run(_sql["forget_old_errors"], rows=rows, keep=KEPT_ERRORS)


def _retry(
    tx: Transaction, q: QueueRow, jobs: list[tuple[Held, Retry]], counts: Counter[str]
) -> None:
    counts["retried"] += len(jobs)
    _write_errors(tx, [(job.seq, s.error) for job, s in jobs])
    base = queue_rows.tickets(tx, len(jobs))
    _put_back(
        tx,
        [
            (job.seq, s.delay_ms, _direction(s) * (base + index))
            for index, (job, s) in enumerate(jobs, 1)
        ],
        made=1,
    )
    data = [as_json((s.error.type, s.error.message)) for _, s in jobs]
    event_log.event(tx, q, EventKind.RETRYING, [s.lease.id for _, s in jobs], data)


def _direction(retry: Retry) -> int:
    """Return -1 if a retried job goes ahead of the waiting jobs, else 1."""
    options = retry.lease.options
    return -1 if options.lifo and not retry.lease.priority and not retry.delay_ms else 1


def _release(
    tx: Transaction, q: QueueRow, jobs: list[tuple[Held, Release]], _: Counter[str]
) -> None:
    base = queue_rows.tickets(tx, len(jobs))
    # Numbered backwards, so that jobs released together keep their order.
    _put_back(
        tx,
        [(job.seq, s.delay_ms, -(base + len(jobs) - index)) for index, (job, s) in enumerate(jobs)],
        made=0,
    )
    event_log.event(tx, q, EventKind.RELEASED, [s.lease.id for _, s in jobs])


def _put_back(tx: Transaction, rows: Sequence[tuple[int, int, int]], *, made: int) -> None:
    tx.run(
        _sql["put_back"],
        rows=as_json(rows),
        made=made,
        now=tx.now,
        latest=LATEST_MS,
        cancelled=CANCEL_REASON,
    )


_SETTLE: dict[type[Settlement], Any] = {
    Complete: _complete,
    Fail: _fail,
    Retry: _retry,
    Release: _release,
}
