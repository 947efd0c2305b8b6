"""Settling what has finished: leases that are held, and what becomes of their jobs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from typing import Any

import msgspec

from toril.engine.base import Refusal
from toril.engine.sqlite import events, queue_rows
from toril.engine.sqlite.queries import load
from toril.engine.sqlite.storage.transaction import Transaction, as_json
from toril.model.job import AttemptError, Lease
from toril.model.options import Keep
from toril.model.outcome import CANCEL_REASON
from toril.model.settlement import Complete, Fail, Release, Retry, Settlement
from toril.model.state import JobState

_sql = load("exchange")

_KEPT_ERRORS = 25


class Held(msgspec.Struct, array_like=True, frozen=True):
    """A lease that is still held, as the query `held` tells it."""

    place: int
    seq: int
    started_at: int
    has_key: int
    cancel_requested: int


_decode_held = msgspec.json.Decoder(list[Held]).decode


def held(tx: Transaction, line: queue_rows.Line, leases: Sequence[Lease]) -> list[Held]:
    """Return those of the leases that are still held, each once."""
    pairs = as_json([(lease.id, lease.token) for lease in leases])
    packed = tx.value(_sql["held"], queue=line.id, leases=pairs, now=tx.now)
    found = _decode_held(packed)
    if len(found) > 1 and len({job.seq for job in found}) < len(found):
        # One lease was given twice: the first counts.
        found = list({job.seq: job for job in reversed(found)}.values())[::-1]
    return found


def settle(
    tx: Transaction, line: queue_rows.Line, settlements: Sequence[Settlement]
) -> tuple[list[Refusal | None], bool]:
    """Settle; return what became of each, and whether that made work for others."""
    mine = held(tx, line, [s.lease for s in settlements])
    results: list[Refusal | None] = [None] * len(settlements)
    if len(mine) < len(settlements):
        results = _refusals(tx, line, settlements, {job.place for job in mine})
    counts: Counter[str] = Counter()
    if any(job.has_key for job in mine):
        _release_keys(tx, line, [j for j in mine if _is_final(settlements[j.place])])
    by_kind: dict[type[Settlement], list[tuple[Held, Any]]] = {}
    for job in mine:
        settlement = settlements[job.place]
        by_kind.setdefault(type(settlement), []).append((job, settlement))
    for kind, jobs in by_kind.items():
        _SETTLE[kind](tx, line, jobs, counts)
    durations = [max(tx.now - job.started_at, 0) for job in mine]  # clocks can go back
    counts["duration_ms"] += sum(durations)
    for bits, n in Counter(map(int.bit_length, durations)).items():
        counts[events.bucket(bits)] += n
    events.count(tx, line, counts)
    given_back = any(not _is_final(settlements[job.place]) for job in mine)
    freed = (line.concurrency is not None or line.key_field is not None) and bool(mine)
    return results, given_back or freed


def _is_final(settlement: Settlement) -> bool:
    return isinstance(settlement, Complete | Fail)


def _refusals(
    tx: Transaction, line: queue_rows.Line, settlements: Sequence[Settlement], taken: set[int]
) -> list[Refusal | None]:
    """Say of each settlement that was not taken why not."""
    ids = as_json([s.lease.id for s in settlements])
    present = set(tx.set_of(_sql["present"], queue=line.id, ids=ids))
    return [
        None
        if place in taken
        else Refusal.LEASE_LOST
        if settlement.lease.id in present
        else Refusal.MISSING
        for place, settlement in enumerate(settlements)
    ]


def _release_keys(tx: Transaction, line: queue_rows.Line, jobs: Sequence[Held]) -> None:
    tx.run(_sql["release_keys"], queue=line.id, seqs=as_json([job.seq for job in jobs]))


def _complete(
    tx: Transaction, line: queue_rows.Line, jobs: list[tuple[Held, Complete]], counts: Counter[str]
) -> None:
    counts["completed"] += len(jobs)
    rows = [
        (job.seq, s.result_json)
        for job, s in jobs
        if s.result_json is not None and not _is_removed(s.keep)
    ]
    if rows:  # first: what is not kept takes its result along
        tx.run(_sql["insert_results"], rows=as_json(rows))
    for keep, group in groupby(jobs, key=lambda pair: pair[1].keep):
        _finish(tx, line, JobState.COMPLETED, [job.seq for job, _ in group], keep)
    events.event(tx, line, "completed", [s.lease.id for _, s in jobs], _passing_results(jobs))


def _passing_results(jobs: list[tuple[Held, Complete]]) -> list[str | None] | None:
    """Return the results of jobs that may leave no record: who waits for one reads the event."""
    if all(s.keep is None for _, s in jobs):
        return None
    return [None if s.keep is None else s.result_json or "null" for _, s in jobs]


def _is_removed(keep: Keep | None) -> bool:
    return keep is not None and keep.count == 0


def _fail(
    tx: Transaction, line: queue_rows.Line, jobs: list[tuple[Held, Fail]], counts: Counter[str]
) -> None:
    counts["failed"] += len(jobs)
    _write_errors(tx, [(job.seq, s.error) for job, s in jobs if not _is_removed(s.keep)])
    for keep, group in groupby(jobs, key=lambda pair: pair[1].keep):
        _finish(tx, line, JobState.FAILED, [job.seq for job, _ in group], keep)
    events.event(
        tx,
        line,
        "failed",
        [s.lease.id for _, s in jobs],
        [as_json((s.error.type, s.error.message)) for _, s in jobs],
    )


def _finish(
    tx: Transaction, line: queue_rows.Line, state: JobState, seqs: Sequence[int], keep: Keep | None
) -> None:
    """Move jobs to a final state and keep to what is kept there."""
    packed = as_json(seqs)
    if _is_removed(keep):
        tx.run(_sql["remove"], seqs=packed)
        return
    tx.run(_sql["finish"], state=state, now=tx.now, seqs=packed)
    if state is JobState.COMPLETED:
        queue_rows.tally_moved(tx, line, active=-len(seqs), completed=len(seqs))
    if keep is not None:
        trim(tx, line, state, keep)


def trim(tx: Transaction, line: queue_rows.Line, state: JobState, keep: Keep) -> None:
    """Remove finished jobs that are too old, then those that are too many, oldest first."""
    if keep.age_ms is not None:
        before = tx.now - keep.age_ms
        tx.run(_sql["trim_by_age"], queue=line.id, state=state, before=before)
    if keep.count is not None:
        excess = queue_rows.count(tx, line, state) - keep.count
        if excess > 0:
            tx.run(_sql["trim_by_count"], queue=line.id, state=state, excess=excess)


def _write_errors(tx: Transaction, errors: Sequence[tuple[int, AttemptError]]) -> None:
    if errors:
        rows = as_json([(seq, e.attempt, e.type, e.message, e.stack) for seq, e in errors])
        tx.run(_sql["insert_errors"], rows=rows, now=tx.now)
        if any(e.attempt > _KEPT_ERRORS for _, e in errors):
            tx.run(_sql["forget_old_errors"], rows=rows, keep=_KEPT_ERRORS)


def _retry(
    tx: Transaction, line: queue_rows.Line, jobs: list[tuple[Held, Retry]], counts: Counter[str]
) -> None:
    counts["retried"] += len(jobs)
    _write_errors(tx, [(job.seq, s.error) for job, s in jobs])
    base = queue_rows.tickets(tx, len(jobs))
    _put_back(
        tx,
        [
            (
                job.seq,
                tx.now + s.delay_ms if s.delay_ms else None,
                _direction(s) * (base + place),
            )
            for place, (job, s) in enumerate(jobs, 1)
        ],
        made=1,
    )
    data = [as_json((s.error.type, s.error.message)) for _, s in jobs]
    events.event(tx, line, "retrying", [s.lease.id for _, s in jobs], data)


def _direction(retry: Retry) -> int:
    """Return -1 where a job that is tried again goes before those that wait."""
    options = retry.lease.options
    return -1 if options.lifo and not retry.lease.priority and not retry.delay_ms else 1


def _release(
    tx: Transaction, line: queue_rows.Line, jobs: list[tuple[Held, Release]], _: Counter[str]
) -> None:
    base = queue_rows.tickets(tx, len(jobs))
    # Backwards, so that of jobs given back together the first is the first again.
    _put_back(
        tx,
        [
            (job.seq, tx.now + s.delay_ms if s.delay_ms else None, -(base + len(jobs) - place))
            for place, (job, s) in enumerate(jobs)
        ],
        made=0,
    )
    events.event(tx, line, "released", [s.lease.id for _, s in jobs])


def _put_back(tx: Transaction, rows: Sequence[tuple[int, int | None, int]], *, made: int) -> None:
    tx.run(_sql["put_back"], rows=as_json(rows), made=made, cancelled=CANCEL_REASON)


_SETTLE: dict[type[Settlement], Any] = {
    Complete: _complete,
    Fail: _fail,
    Retry: _retry,
    Release: _release,
}
