"""Keeping leases, taking jobs from workers that died, and what handlers report."""

from __future__ import annotations

from collections.abc import Sequence

from toril.engine.base import Note, Stalled
from toril.engine.sqlite import events, keyed_lanes, queue_rows, schedules
from toril.engine.sqlite.hot_path.settle import held
from toril.engine.sqlite.queries import load
from toril.engine.sqlite.storage.transaction import Transaction, as_json
from toril.model.job import Lease, QueueRef
from toril.model.outcome import CANCEL_REASON, STALL_REASON

_sql = load("exchange")


def extend(
    tx: Transaction,
    leases: Sequence[Lease],
    on_the_way: Sequence[tuple[str, QueueRef]],
    lease_ms: int,
) -> list[Lease]:
    """Start the time of leases anew, and of fetches on their way; return the lost leases."""
    for token, queue in on_the_way:
        line = queue_rows.find(tx, queue)
        if line is not None:
            until = tx.now + lease_ms
            tx.run(_sql["extend_token"], queue=line.id, token=token, until=until, now=tx.now)
    lost: list[Lease] = []
    for queue, its in _by_queue(leases):
        line = queue_rows.find(tx, queue)
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
        line = queue_rows.find(tx, queue)
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
    line = queue_rows.find(tx, queue)
    if line is None:
        return []
    if line.key_field is not None:
        keyed_lanes.forget_idle(tx, line)
    found = tx.set_of(_sql["expired"], queue=line.id, now=tx.now)
    if not found:
        return []
    base = queue_rows.tickets(tx, len(found))
    spared = schedules.made_by_schedules(tx, line, [job_id for _, job_id, _ in found])
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
    events.event(tx, line, "stalled", ids)
    events.count(tx, line, {"stalled": len(found)})
    tx.work.add(queue)
    return stalled


def note(tx: Transaction, queue: QueueRef, notes: Sequence[Note]) -> None:
    """Store progress and log lines of leases that are held."""
    line = queue_rows.find(tx, queue)
    if line is None:
        return
    seqs = dict(_seqs_by_place(tx, line, notes))
    mine = [(seqs[place], n) for place, n in enumerate(notes) if place in seqs]
    progress = [(seq, n.progress_json, n) for seq, n in mine if n.progress_json is not None]
    log = [(seq, text) for seq, n in mine for text in n.lines]
    if progress:
        tx.run(_sql["set_progress"], rows=as_json([row[:2] for row in progress]))
        ids = [n.lease.id for _, _, n in progress]
        events.event(tx, line, "progress", ids, [row[1] for row in progress])
    if log:
        tx.run(_sql["insert_logs"], rows=as_json(log))


def _seqs_by_place(
    tx: Transaction, line: queue_rows.Line, notes: Sequence[Note]
) -> list[tuple[int, int]]:
    """Return the job of each note: several may be of one."""
    pairs = as_json([(n.lease.id, n.lease.token) for n in notes])
    found = tx.set_of(_sql["held"], queue=line.id, leases=pairs, now=tx.now)
    return [(row[0], row[1]) for row in found]
