"""The hot path: settle what has finished and take new jobs, in one transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

import msgspec

from toril.engine.base import Exchange, Fetch, Note, Refusal, Stalled
from toril.engine.sqlite import lines, recording, scheduling, turns
from toril.engine.sqlite.queries import load
from toril.engine.sqlite.rates import Meter, left_of, spend
from toril.engine.sqlite.transaction import Transaction, as_json
from toril.model.job import AttemptError, Lease, QueueRef
from toril.model.options import Keep
from toril.model.outcome import CANCEL_REASON, STALL_REASON
from toril.model.settlement import Complete, Fail, Release, Retry, Settlement
from toril.model.state import JobState

_sql = load("exchange")
_queue_sql = load("queue")

_KEPT_ERRORS = 25

_PRIORITY, _SEQ, _POSITION = 8, 10, 11  # in a row of the query `next`
_in_line = itemgetter(_PRIORITY, _POSITION)


class _Held(msgspec.Struct, array_like=True, frozen=True):
    """A lease that is still held, as the query `held` tells it."""

    place: int
    seq: int
    started_at: int
    has_key: int
    cancel_requested: int


_decode_held = msgspec.json.Decoder(list[_Held]).decode


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
    line = lines.make(tx, queue)
    results: Sequence[Refusal | None] = ()
    made_work = False
    if settlements:
        results, made_work = _settle(tx, line, settlements)
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


def held(tx: Transaction, line: lines.Line, leases: Sequence[Lease]) -> list[_Held]:
    """Return those of the leases that are still held, each once."""
    pairs = as_json([(lease.id, lease.token) for lease in leases])
    packed = tx.value(_sql["held"], queue=line.id, leases=pairs, now=tx.now)
    found = _decode_held(packed)
    if len(found) > 1 and len({job.seq for job in found}) < len(found):
        # One lease was given twice: the first counts.
        found = list({job.seq: job for job in reversed(found)}.values())[::-1]
    return found


def _settle(
    tx: Transaction, line: lines.Line, settlements: Sequence[Settlement]
) -> tuple[list[Refusal | None], bool]:
    """Settle; return what became of each, and whether that made work for others."""
    mine = held(tx, line, [s.lease for s in settlements])
    results: list[Refusal | None] = [None] * len(settlements)
    if len(mine) < len(settlements):
        results = _refusals(tx, line, settlements, {job.place for job in mine})
    counts: Counter[str] = Counter()
    if any(job.has_key for job in mine):
        _release_keys(tx, line, [j for j in mine if _is_final(settlements[j.place])])
    by_kind: dict[type[Settlement], list[tuple[_Held, Any]]] = {}
    for job in mine:
        settlement = settlements[job.place]
        by_kind.setdefault(type(settlement), []).append((job, settlement))
    for kind, jobs in by_kind.items():
        _SETTLE[kind](tx, line, jobs, counts)
    durations = [max(tx.now - job.started_at, 0) for job in mine]  # clocks can go back
    counts["duration_ms"] += sum(durations)
    for bits, n in Counter(map(int.bit_length, durations)).items():
        counts[recording.bucket(bits)] += n
    recording.count(tx, line, counts)
    given_back = any(not _is_final(settlements[job.place]) for job in mine)
    freed = (line.concurrency is not None or line.key_field is not None) and bool(mine)
    return results, given_back or freed


def _is_final(settlement: Settlement) -> bool:
    return isinstance(settlement, Complete | Fail)


def _refusals(
    tx: Transaction, line: lines.Line, settlements: Sequence[Settlement], taken: set[int]
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


def _release_keys(tx: Transaction, line: lines.Line, jobs: Sequence[_Held]) -> None:
    tx.run(_sql["release_keys"], queue=line.id, seqs=as_json([job.seq for job in jobs]))


def _complete(
    tx: Transaction, line: lines.Line, jobs: list[tuple[_Held, Complete]], counts: Counter[str]
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
    recording.event(tx, line, "completed", [s.lease.id for _, s in jobs], _passing_results(jobs))


def _passing_results(jobs: list[tuple[_Held, Complete]]) -> list[str | None] | None:
    """Return the results of jobs that may leave no record: who waits for one reads the event."""
    if all(s.keep is None for _, s in jobs):
        return None
    return [None if s.keep is None else s.result_json or "null" for _, s in jobs]


def _is_removed(keep: Keep | None) -> bool:
    return keep is not None and keep.count == 0


def _fail(
    tx: Transaction, line: lines.Line, jobs: list[tuple[_Held, Fail]], counts: Counter[str]
) -> None:
    counts["failed"] += len(jobs)
    _write_errors(tx, [(job.seq, s.error) for job, s in jobs if not _is_removed(s.keep)])
    for keep, group in groupby(jobs, key=lambda pair: pair[1].keep):
        _finish(tx, line, JobState.FAILED, [job.seq for job, _ in group], keep)
    recording.event(
        tx,
        line,
        "failed",
        [s.lease.id for _, s in jobs],
        [as_json((s.error.type, s.error.message)) for _, s in jobs],
    )


def _finish(
    tx: Transaction, line: lines.Line, state: JobState, seqs: Sequence[int], keep: Keep | None
) -> None:
    """Move jobs to a final state and keep to what is kept there."""
    packed = as_json(seqs)
    if _is_removed(keep):
        tx.run(_sql["remove"], seqs=packed)
        return
    tx.run(_sql["finish"], state=state, now=tx.now, seqs=packed)
    if state is JobState.COMPLETED:
        lines.tally_moved(tx, line, active=-len(seqs), completed=len(seqs))
    if keep is not None:
        trim(tx, line, state, keep)


def trim(tx: Transaction, line: lines.Line, state: JobState, keep: Keep) -> None:
    """Remove finished jobs that are too old, then those that are too many, oldest first."""
    if keep.age_ms is not None:
        before = tx.now - keep.age_ms
        tx.run(_sql["trim_by_age"], queue=line.id, state=state, before=before)
    if keep.count is not None:
        excess = lines.count(tx, line, state) - keep.count
        if excess > 0:
            tx.run(_sql["trim_by_count"], queue=line.id, state=state, excess=excess)


def _write_errors(tx: Transaction, errors: Sequence[tuple[int, AttemptError]]) -> None:
    if errors:
        rows = as_json([(seq, e.attempt, e.type, e.message, e.stack) for seq, e in errors])
        tx.run(_sql["insert_errors"], rows=rows, now=tx.now)
        if any(e.attempt > _KEPT_ERRORS for _, e in errors):
            tx.run(_sql["forget_old_errors"], rows=rows, keep=_KEPT_ERRORS)


def _retry(
    tx: Transaction, line: lines.Line, jobs: list[tuple[_Held, Retry]], counts: Counter[str]
) -> None:
    counts["retried"] += len(jobs)
    _write_errors(tx, [(job.seq, s.error) for job, s in jobs])
    base = lines.tickets(tx, len(jobs))
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
    recording.event(tx, line, "retrying", [s.lease.id for _, s in jobs], data)


def _direction(retry: Retry) -> int:
    """Return -1 where a job that is tried again goes before those that wait."""
    options = retry.lease.options
    return -1 if options.lifo and not retry.lease.priority and not retry.delay_ms else 1


def _release(
    tx: Transaction, line: lines.Line, jobs: list[tuple[_Held, Release]], _: Counter[str]
) -> None:
    base = lines.tickets(tx, len(jobs))
    # Backwards, so that of jobs given back together the first is the first again.
    _put_back(
        tx,
        [
            (job.seq, tx.now + s.delay_ms if s.delay_ms else None, -(base + len(jobs) - place))
            for place, (job, s) in enumerate(jobs)
        ],
        made=0,
    )
    recording.event(tx, line, "released", [s.lease.id for _, s in jobs])


def _put_back(tx: Transaction, rows: Sequence[tuple[int, int | None, int]], *, made: int) -> None:
    tx.run(_sql["put_back"], rows=as_json(rows), made=made, cancelled=CANCEL_REASON)


_SETTLE: dict[type[Settlement], Any] = {
    Complete: _complete,
    Fail: _fail,
    Retry: _retry,
    Release: _release,
}


def _promote_due(tx: Transaction, line: lines.Line) -> None:
    next_due = tx.value(_sql["next_due"], queue=line.id)
    if next_due is not None and next_due <= tx.now:
        promote(tx, line, tx.set_of(_sql["due"], queue=line.id, now=tx.now))


def promote(tx: Transaction, line: lines.Line, jobs: Sequence[tuple[int, str]]) -> None:
    """Make delayed jobs ready, behind those that are."""
    if not jobs:
        return
    base = lines.tickets(tx, len(jobs))
    rows = [(seq, base + place) for place, (seq, _) in enumerate(jobs, 1)]
    tx.run(_sql["promote"], rows=as_json(rows))
    recording.event(tx, line, "promoted", [job_id for _, job_id in jobs])


def _take(
    tx: Transaction, line: lines.Line, fetch: Fetch, token: str
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
    lines.tally_moved(
        tx,
        line,
        waiting=prioritized - len(found),
        prioritized=-prioritized,
        active=len(found),
    )
    recording.event(tx, line, "active", [row[0] for row in found])
    leases = [_lease(line.ref, token, tx.now, row) for row in found]
    scheduling.advance(tx, line, leases)
    return leases, limited_until if len(found) == room else _rested_at(tx, line)


def _next(tx: Transaction, line: lines.Line, room: int) -> list[Any]:
    """Return the jobs to take, in the order in which to start them."""
    if line.by_key is not None:
        return turns.pick(tx, line, line.by_key, room)
    found = tx.set_of(_sql["next"], queue=line.id, limit=room)
    found.sort(key=_in_line)
    return found


def _rested_at(tx: Transaction, line: lines.Line) -> int | None:
    return None if line.key_field is None else turns.rested_at(tx, line)


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


def _room(tx: Transaction, line: lines.Line, wanted: int) -> tuple[int, int | None]:
    """Return how many jobs may be taken, and until when the rate limit lets through no more."""
    if line.paused:
        return 0, None
    room, limited_until = wanted, None
    if line.concurrency is not None:
        room = min(room, line.concurrency - lines.count(tx, line, JobState.ACTIVE))
    rate = line.rate
    if rate is not None:
        left, until = left_of(rate, _meter(line), tx.now)
        if left < room:
            room, limited_until = left, until
    return room, limited_until


def _meter(line: lines.Line) -> Meter:
    return Meter(line.window_count, line.window_until)


def _count_against_limit(tx: Transaction, line: lines.Line, taken: int) -> None:
    rate = line.rate
    if rate is not None:
        count, until = spend(rate, _meter(line), taken, tx.now)
        tx.run(_queue_sql["set_window"], queue=line.id, count=count, until=until)


def extend(
    tx: Transaction,
    leases: Sequence[Lease],
    on_the_way: Sequence[tuple[str, QueueRef]],
    lease_ms: int,
) -> list[Lease]:
    """Start the time of leases anew, and of fetches on their way; return the lost leases."""
    for token, queue in on_the_way:
        line = lines.find(tx, queue)
        if line is not None:
            until = tx.now + lease_ms
            tx.run(_sql["extend_token"], queue=line.id, token=token, until=until, now=tx.now)
    lost: list[Lease] = []
    for queue, its in _by_queue(leases):
        line = lines.find(tx, queue)
        mine = [] if line is None else held(tx, line, its)
        if mine:
            tx.run(_sql["extend"], until=tx.now + lease_ms, seqs=as_json([job.seq for job in mine]))
        places = {job.place for job in mine}
        lost += [lease for place, lease in enumerate(its) if place not in places]
    return lost


def asked_to_cancel(tx: Transaction, leases: Sequence[Lease]) -> list[Lease]:
    """Return the leases whose jobs somebody asked to cancel."""
    found: list[Lease] = []
    for queue, its in _by_queue(leases):
        line = lines.find(tx, queue)
        if line is not None:
            found += [its[job.place] for job in held(tx, line, its) if job.cancel_requested]
    return found


def _by_queue(leases: Sequence[Lease]) -> list[tuple[QueueRef, list[Lease]]]:
    found: dict[QueueRef, list[Lease]] = {}
    for lease in leases:
        found.setdefault(lease.queue, []).append(lease)
    return list(found.items())


def rescue(tx: Transaction, queue: QueueRef, max_stalls: int) -> list[Stalled]:
    """Take jobs from workers whose leases ran out; see `Engine.rescue`."""
    line = lines.find(tx, queue)
    if line is None:
        return []
    if line.key_field is not None:
        turns.forget_idle(tx, line)
    found = tx.set_of(_sql["expired"], queue=line.id, now=tx.now)
    if not found:
        return []
    base = lines.tickets(tx, len(found))
    spared = scheduling.made_by_schedules(tx, line, [job_id for _, job_id, _ in found])
    stalled = [
        Stalled(job_id, stalls > max_stalls and job_id not in spared) for _, job_id, stalls in found
    ]
    rows = [
        (seq, -(base + len(found) - place), job.poisoned)
        for place, ((seq, _, _), job) in enumerate(zip(found, stalled, strict=True))
    ]
    tx.run(
        _sql["rescue"],
        rows=as_json(rows),
        cancelled=CANCEL_REASON,
        stalled=STALL_REASON,
    )
    ids = [job_id for _, job_id, _ in found]
    recording.event(tx, line, "stalled", ids)
    recording.count(tx, line, {"stalled": len(found)})
    tx.work.add(queue)
    return stalled


def note(tx: Transaction, queue: QueueRef, notes: Sequence[Note]) -> None:
    """Store progress and log lines of leases that are held."""
    line = lines.find(tx, queue)
    if line is None:
        return
    seqs = dict(_seqs_by_place(tx, line, notes))
    mine = [(seqs[place], n) for place, n in enumerate(notes) if place in seqs]
    progress = [(seq, n.progress_json, n) for seq, n in mine if n.progress_json is not None]
    log = [(seq, text) for seq, n in mine for text in n.lines]
    if progress:
        tx.run(_sql["set_progress"], rows=as_json([row[:2] for row in progress]))
        ids = [n.lease.id for _, _, n in progress]
        recording.event(tx, line, "progress", ids, [row[1] for row in progress])
    if log:
        tx.run(_sql["insert_logs"], rows=as_json(log))


def _seqs_by_place(
    tx: Transaction, line: lines.Line, notes: Sequence[Note]
) -> list[tuple[int, int]]:
    """Return the job of each note: several may be of one."""
    pairs = as_json([(n.lease.id, n.lease.token) for n in notes])
    found = tx.set_of(_sql["held"], queue=line.id, leases=pairs, now=tx.now)
    return [(row[0], row[1]) for row in found]
