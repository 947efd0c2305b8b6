"""Operations on jobs by request: promote, retry, remove, cancel, change."""

from __future__ import annotations

from collections.abc import Sequence

from toril.engine.contract.events import EventKind
from toril.engine.contract.rules import cannot_change, no_such_job
from toril.engine.sqlite import (
    counters,
    event_log,
    job_rows,
    keyed_lanes,
    queue_rows,
    schedule_rows,
)
from toril.engine.sqlite.queries import load
from toril.engine.sqlite.queue_rows import QueueRow
from toril.engine.sqlite.storage.transaction import Transaction, as_json
from toril.model.durations import LATEST_MS
from toril.model.job import QueueRef
from toril.model.outcome import CANCEL_REASON, ErrorKind
from toril.model.state import FINAL, INITIAL, READY, STORED, JobState

_sql = load("job_control")


def _free(tx: Transaction, q: QueueRow, jobs: Sequence[tuple[int, str]]) -> list[tuple[int, str]]:
    """Leave out the pending jobs of schedules."""
    kept = schedule_rows.pending_jobs(tx, q, [job_id for _, job_id in jobs])
    return [job for job in jobs if job[1] not in kept]


def remove(tx: Transaction, queue: QueueRef, ids: Sequence[str]) -> list[str]:
    """Remove jobs, except active ones; return the ids of those that were removed."""
    q = queue_rows.require(tx, queue)
    jobs = job_rows.find(tx, q, ids, STORED - {JobState.ACTIVE})
    return job_rows.remove_by_hand(tx, q, _free(tx, q, jobs))


def promote(tx: Transaction, queue: QueueRef, ids: Sequence[str]) -> list[str]:
    """Make delayed jobs ready; return the ids of those that were promoted."""
    q = queue_rows.require(tx, queue)
    jobs = job_rows.find(tx, q, ids, frozenset({JobState.DELAYED}))
    job_rows.promote(tx, q, jobs)
    if jobs:
        tx.work.add(queue)
    return [job_id for _, job_id in jobs]


def retry(tx: Transaction, queue: QueueRef, ids: Sequence[str]) -> list[str]:
    """Run finished jobs again as if they were new, keeping their errors; return their ids."""
    q = queue_rows.require(tx, queue)
    jobs = job_rows.find(tx, q, ids, FINAL)
    if not jobs:
        return []
    base = queue_rows.tickets(tx, len(jobs))
    rows = [(seq, base + index) for index, (seq, _) in enumerate(jobs, 1)]
    tx.run(_sql["run_again"], rows=as_json(rows), lifo="$.lifo")
    seqs = as_json([seq for seq, _ in jobs])
    tx.run(_sql["forget_results"], seqs=seqs)
    tx.run(_sql["forget_progress"], seqs=seqs)
    ids = [job_id for _, job_id in jobs]
    event_log.event(tx, q, EventKind.RETRIED, ids)
    tx.work.add(queue)
    return ids


def cancel(tx: Transaction, queue: QueueRef, ids: Sequence[str]) -> list[str]:
    """Fail jobs that are not running and ask running ones to stop; return their ids."""
    q = queue_rows.require(tx, queue)
    waiting = _free(tx, q, job_rows.find(tx, q, ids, READY | INITIAL))
    active = job_rows.find(tx, q, ids, frozenset({JobState.ACTIVE}))
    if waiting:
        _cancel_waiting(tx, q, waiting)
    if active:
        tx.run(_sql["cancel_active"], seqs=as_json([seq for seq, _ in active]))
    cancelled = [job_id for _, job_id in (*waiting, *active)]
    event_log.event(tx, q, EventKind.CANCELLED, cancelled)
    return cancelled


def _cancel_waiting(tx: Transaction, q: QueueRow, jobs: Sequence[tuple[int, str]]) -> None:
    seqs = as_json([seq for seq, _ in jobs])
    job_rows.release_keys(tx, q, [seq for seq, _ in jobs])
    tx.run(_sql["cancel_waiting"], seqs=seqs, now=tx.now, age="$.removeOnFail.age")
    tx.run(
        _sql["insert_cancellations"],
        seqs=seqs,
        type=ErrorKind.CANCELLED,
        message=CANCEL_REASON,
        stack="",
        now=tx.now,
    )
    data = [as_json((ErrorKind.CANCELLED, CANCEL_REASON))] * len(jobs)
    event_log.event(tx, q, EventKind.FAILED, [job_id for _, job_id in jobs], data)
    counters.count(tx, q, {"failed": len(jobs)})


def change(
    tx: Transaction,
    queue: QueueRef,
    job_id: str,
    *,
    priority: int | None,
    delay_ms: int | None,
    data: str | None,
) -> None:
    """Change a job that has not finished; see `Jobs.change`."""
    q = queue_rows.require(tx, queue)
    row = tx.row(_sql["state_of"], queue=q.id, id=job_id)
    if row is None:
        raise no_such_job(queue, job_id)
    seq, state = row
    started = state not in READY | {JobState.DELAYED}
    if state in FINAL or (started and (priority is not None or delay_ms is not None)):
        raise cannot_change(job_id, state)
    if data is not None:
        tx.run(_sql["set_data"], seq=seq, data=data)
        if q.by_key is not None:
            keyed_lanes.reassign(tx, q.by_key, seq, data)
    if priority is not None:
        position = queue_rows.tickets(tx, 1) + 1
        tx.run(_sql["set_priority"], seq=seq, priority=priority, position=position)
    if delay_ms is not None:
        due = min(tx.now + delay_ms, LATEST_MS) if delay_ms else None
        position = queue_rows.tickets(tx, 1) + 1
        tx.run(_sql["set_due"], seq=seq, due_at=due, delay_ms=delay_ms, position=position)
    event_log.event(tx, q, EventKind.CHANGED, [job_id])
    tx.work.add(queue)
