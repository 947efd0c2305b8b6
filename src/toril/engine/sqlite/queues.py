"""What people do to queues and jobs."""

from __future__ import annotations

from collections.abc import Sequence

from toril.engine.base import other_field
from toril.engine.sqlite import events, keyed_lanes, queue_rows, schedules
from toril.engine.sqlite.hot_path.exchange import promote as promote_jobs
from toril.engine.sqlite.queries import load
from toril.engine.sqlite.storage.transaction import Transaction, as_json
from toril.errors import ConflictError, NotFoundError
from toril.model.job import QueueRef
from toril.model.limits import NO_LIMITS, Limits
from toril.model.outcome import CANCEL_REASON, CANCELLED
from toril.model.state import FINAL, INITIAL, READY, STORED, JobState

_sql = load("control")
_hot = load("exchange")
_queue_sql = load("queue")

CHUNK = 1000  # jobs that one statement removes, so that the lock is not held for long


def register(tx: Transaction, queue: QueueRef, limits: Limits) -> None:
    """Make a queue visible and set its limits; see `Engine.register`."""
    line = queue_rows.make(tx, queue)
    if limits == NO_LIMITS:
        return
    by_key = limits.by_key
    if by_key is not None and line.key_field not in {None, by_key.field}:
        raise other_field(queue, str(line.key_field), by_key.field)
    queue_rows.limit(tx, line, limits)
    if by_key is not None:
        keyed_lanes.assign_all(tx, line, by_key)
    tx.work.add(queue)


def lift(tx: Transaction, queue: QueueRef) -> None:
    """Take away a queue's limits."""
    line = queue_rows.require(tx, queue)
    queue_rows.lift(tx, line)
    keyed_lanes.leave(tx, line)
    tx.work.add(queue)


def set_paused(tx: Transaction, queue: QueueRef, *, paused: bool) -> None:
    """Pause a queue, or resume it."""
    line = queue_rows.require(tx, queue)
    if bool(line.paused) == paused:
        return
    tx.run(_queue_sql["set_paused"], queue=line.id, paused=int(paused))
    events.event(tx, line, "paused" if paused else "resumed", [""])
    tx.work.add(queue)


def _find(
    tx: Transaction, line: queue_rows.Line, ids: Sequence[str], states: frozenset[JobState]
) -> list[tuple[int, str]]:
    found = tx.set_of(
        _sql["find"], queue=line.id, ids=as_json(list(dict.fromkeys(ids))), states=as_json(states)
    )
    return [(seq, job_id) for seq, job_id in found]


def _free(
    tx: Transaction, line: queue_rows.Line, jobs: Sequence[tuple[int, str]]
) -> list[tuple[int, str]]:
    """Return the jobs that carry no schedule on."""
    kept = schedules.carriers(tx, line, [job_id for _, job_id in jobs])
    return [job for job in jobs if job[1] not in kept]


def _remove(tx: Transaction, line: queue_rows.Line, jobs: Sequence[tuple[int, str]]) -> list[str]:
    ids = [job_id for _, job_id in jobs]
    if jobs:
        seqs = as_json([seq for seq, _ in jobs])
        tx.run(_sql["free_keys"], queue=line.id, seqs=seqs)
        tx.run(_hot["remove"], seqs=seqs)
        events.event(tx, line, "removed", ids)
    return ids


def remove(tx: Transaction, queue: QueueRef, ids: Sequence[str]) -> list[str]:
    """Remove jobs that are not active."""
    line = queue_rows.require(tx, queue)
    return _remove(tx, line, _free(tx, line, _find(tx, line, ids, STORED - {JobState.ACTIVE})))


def remove_ready(tx: Transaction, queue: QueueRef, *, delayed: bool) -> int:
    """Remove a chunk of the jobs that wait, then of the delayed; return how many."""
    line = queue_rows.require(tx, queue)
    jobs = tx.set_of(_sql["ready_seqs"], queue=line.id, limit=CHUNK)
    if not jobs and delayed:
        jobs = tx.set_of(_sql["delayed_seqs"], queue=line.id, limit=CHUNK)
    return len(_remove(tx, line, jobs))


def remove_old(
    tx: Transaction, queue: QueueRef, state: JobState, grace_ms: int, limit: int
) -> list[str]:
    """Remove jobs that have been in a state for long; see `Engine.clean`."""
    if state not in STORED - {JobState.ACTIVE}:
        raise ConflictError(f"jobs that are {state} cannot be cleaned")
    line = queue_rows.require(tx, queue)
    query = _sql["finished_seqs" if state in FINAL else "old_seqs"]
    before = tx.now - grace_ms
    return _remove(
        tx, line, tx.set_of(query, queue=line.id, state=state, before=before, limit=limit)
    )


def obliterate(tx: Transaction, queue: QueueRef, *, force: bool) -> int:
    """Remove a chunk of a queue's jobs, or the queue once it has none; return how many."""
    line = queue_rows.require(tx, queue)
    active = queue_rows.count(tx, line, JobState.ACTIVE)
    if active and not force:
        raise ConflictError(
            f"{active} jobs of {str(queue)!r} are active; wait for them, or force it"
        )
    jobs = tx.set_of(_sql["any_seqs"], queue=line.id, limit=CHUNK)
    if jobs:
        tx.run(_hot["remove"], seqs=as_json([seq for seq, _ in jobs]))
    else:
        keyed_lanes.leave(tx, line)
        queue_rows.forget(tx, line)
    return len(jobs)


def promote(tx: Transaction, queue: QueueRef, ids: Sequence[str]) -> list[str]:
    """Make delayed jobs ready."""
    line = queue_rows.require(tx, queue)
    jobs = _find(tx, line, ids, frozenset({JobState.DELAYED}))
    promote_jobs(tx, line, jobs)
    if jobs:
        tx.work.add(queue)
    return [job_id for _, job_id in jobs]


def retry(tx: Transaction, queue: QueueRef, ids: Sequence[str]) -> list[str]:
    """Run finished jobs again as if they were new; their errors stay to be read."""
    line = queue_rows.require(tx, queue)
    jobs = _find(tx, line, ids, FINAL)
    if not jobs:
        return []
    base = queue_rows.tickets(tx, len(jobs))
    rows = [(seq, base + place) for place, (seq, _) in enumerate(jobs, 1)]
    tx.run(_sql["run_again"], rows=as_json(rows), lifo="$.lifo")
    seqs = as_json([seq for seq, _ in jobs])
    tx.run(_sql["forget_results"], seqs=seqs)
    tx.run(_sql["forget_progress"], seqs=seqs)
    ids = [job_id for _, job_id in jobs]
    events.event(tx, line, "retried", ids)
    tx.work.add(queue)
    return ids


def cancel(tx: Transaction, queue: QueueRef, ids: Sequence[str]) -> list[str]:
    """Fail jobs that wait, ask those that run to stop."""
    line = queue_rows.require(tx, queue)
    waiting = _free(tx, line, _find(tx, line, ids, READY | INITIAL))
    active = _find(tx, line, ids, frozenset({JobState.ACTIVE}))
    if waiting:
        _cancel_waiting(tx, line, waiting)
    if active:
        tx.run(_sql["cancel_active"], seqs=as_json([seq for seq, _ in active]))
    concerned = [job_id for _, job_id in (*waiting, *active)]
    events.event(tx, line, "cancelled", concerned)
    return concerned


def _cancel_waiting(
    tx: Transaction, line: queue_rows.Line, jobs: Sequence[tuple[int, str]]
) -> None:
    seqs = as_json([seq for seq, _ in jobs])
    tx.run(_hot["release_keys"], queue=line.id, seqs=seqs)
    tx.run(_sql["cancel_waiting"], seqs=seqs, now=tx.now)
    tx.run(
        _sql["insert_cancellations"],
        seqs=seqs,
        type=CANCELLED,
        message=CANCEL_REASON,
        stack="",
        now=tx.now,
    )
    data = [as_json((CANCELLED, CANCEL_REASON))] * len(jobs)
    events.event(tx, line, "failed", [job_id for _, job_id in jobs], data)
    events.count(tx, line, {"failed": len(jobs)})


def change(
    tx: Transaction,
    queue: QueueRef,
    job_id: str,
    *,
    priority: int | None,
    delay_ms: int | None,
    data: str | None,
) -> None:
    """Change a job that has not finished; see `Engine.change`."""
    line = queue_rows.require(tx, queue)
    row = tx.row(_sql["state_of"], queue=line.id, id=job_id)
    if row is None:
        raise NotFoundError(f"there is no job {job_id!r} in queue {str(queue)!r}")
    seq, state = row
    if state in FINAL:
        raise ConflictError(f"job {job_id} is {state} already")
    started = state not in READY | {JobState.DELAYED}
    if started and (priority is not None or delay_ms is not None):
        raise ConflictError(f"job {job_id} is {state}: only its data can be changed")
    if data is not None:
        tx.run(_sql["set_data"], seq=seq, data=data)
        if line.by_key is not None:
            keyed_lanes.reassign(tx, line.by_key, seq, data)
    if priority is not None:
        position = queue_rows.tickets(tx, 1) + 1
        tx.run(_sql["set_priority"], seq=seq, priority=priority, position=position)
    if delay_ms is not None:
        due = tx.now + delay_ms if delay_ms else None
        tx.run(_sql["set_due"], seq=seq, due_at=due, position=queue_rows.tickets(tx, 1) + 1)
    events.event(tx, line, "changed", [job_id])
    tx.work.add(queue)
