"""Renews leases, rescues jobs, and stores what handlers report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from toril.engine.contract.events import EventKind
from toril.engine.contract.hot_path import Note, Stalled
from toril.engine.contract.rules import KEPT_LINES
from toril.engine.sqlite import (
    clock_back,
    counters,
    event_log,
    keyed_lanes,
    queue_rows,
    schedule_rows,
)
from toril.engine.sqlite.hot_path.settle import held, not_rescued, seqs_by_index
from toril.engine.sqlite.queries import load
from toril.engine.sqlite.queue_rows import QueueRow
from toril.engine.sqlite.storage.transaction import Transaction, as_json
from toril.model.job import Lease, QueueRef
from toril.model.outcome import CANCEL_REASON, STALL_REASON

_sql = load("leases")


def extend(
    tx: Transaction,
    leases: Sequence[Lease],
    in_flight: Sequence[tuple[str, QueueRef]],
    lease_ms: int,
) -> list[Lease]:
    """Renew leases, including those of fetches in flight; return the lost leases.

    A lease that has run out is renewed too, unless the job was rescued meanwhile.

    Args:
        tx: The transaction.
        leases: The leases that workers hold.
        in_flight: The lease token and queue of each fetch whose answer has not arrived yet.
        lease_ms: How long to hold the jobs from now.
    """
    for token, queue in in_flight:
        q = queue_rows.find(tx, queue)
        if q is not None:
            until = tx.now + lease_ms
            tx.run(_sql["extend_token"], queue=q.id, token=token, until=until)
    lost: list[Lease] = []
    for queue, group in _by_queue(leases):
        q = queue_rows.find(tx, queue)
        mine = [] if q is None else not_rescued(tx, q, group)
        if mine:
            tx.run(_sql["extend"], until=tx.now + lease_ms, seqs=as_json([job.seq for job in mine]))
        indexes = {job.index for job in mine}
        lost += [lease for index, lease in enumerate(group) if index not in indexes]
    return lost


def asked_to_cancel(tx: Transaction, leases: Sequence[Lease]) -> list[Lease]:
    """Return the leases whose jobs have a cancel request."""
    found: list[Lease] = []
    for queue, group in _by_queue(leases):
        q = queue_rows.find(tx, queue)
        if q is not None:
            found += [group[job.index] for job in held(tx, q, group) if job.cancel_requested]
    return found


def _by_queue(leases: Sequence[Lease]) -> list[tuple[QueueRef, list[Lease]]]:
    found: dict[QueueRef, list[Lease]] = {}
    for lease in leases:
        found.setdefault(lease.queue, []).append(lease)
    return list(found.items())


class Own(NamedTuple):
    """What a rescue leaves alone.

    Attributes:
        tokens: The lease tokens of fetches whose answers have not arrived yet.
        ids: The ids of the jobs that this process runs.
    """

    tokens: list[str]
    ids: list[str]


class Rescued(NamedTuple):
    """What a rescue did.

    Attributes:
        stalled: The jobs whose leases ran out.
        clock_went_back: Whether delayed jobs may wait too long.
    """

    stalled: Sequence[Stalled] = ()
    clock_went_back: bool = False


def rescue(
    tx: Transaction,
    queue: QueueRef,
    max_stalls: int,
    unless_within_ms: int,
    own: Callable[[], Own],
) -> Rescued:
    """Rescue jobs whose leases ran out; see `Engine.rescue`.

    Args:
        tx: The transaction.
        queue: The queue.
        max_stalls: How often one job may stall before it is poison.
        unless_within_ms: Skip if another rescue ran within this many ms.
        own: Returns what belongs to this process, and is left alone.
    """
    q = queue_rows.find(tx, queue)
    went_back = q is not None and clock_back.is_evident(tx, q)
    if q is None or not queue_rows.may_rescue(tx, q, unless_within_ms):
        return Rescued()
    if q.key_field is not None:
        keyed_lanes.forget_idle(tx, q)
    clock_back.shorten_leases(tx, q)
    return Rescued(_take_back(tx, q, max_stalls, own()), went_back)


def _take_back(tx: Transaction, q: QueueRow, max_stalls: int, own: Own) -> list[Stalled]:
    """Make the jobs whose leases ran out ready again."""
    tokens, running = map(as_json, own)
    found = tx.set_of(_sql["expired"], queue=q.id, now=tx.now, tokens=tokens, ids=running)
    if not found:
        return []
    base = queue_rows.tickets(tx, len(found))
    spared = schedule_rows.made_by_schedules(tx, q, [job_id for _, job_id, _ in found])
    stalled = [
        Stalled(job_id, stalls > max_stalls and job_id not in spared) for _, job_id, stalls in found
    ]
    rows = [
        (seq, -(base + len(found) - index), job.poisoned)
        for index, ((seq, _, _), job) in enumerate(zip(found, stalled, strict=True))
    ]
    tx.run(
        _sql["rescue"],
        rows=as_json(rows),
        cancelled=CANCEL_REASON,
        stalled=STALL_REASON,
    )
    ids = [job_id for _, job_id, _ in found]
    event_log.event(tx, q, EventKind.STALLED, ids)
    counters.count(tx, q, {"stalled": len(found)})
    tx.work.add(q.ref)
    return stalled


def note(tx: Transaction, queue: QueueRef, notes: Sequence[Note]) -> None:
    """Store progress and log lines, for leases that are still held."""
    q = queue_rows.find(tx, queue)
    if q is None:
        return
    seqs = seqs_by_index(tx, q, [n.lease for n in notes])  # several notes may be for one job
    mine = [(seqs[index], n) for index, n in enumerate(notes) if index in seqs]
    progress = [(seq, n.progress_json, n) for seq, n in mine if n.progress_json is not None]
    log = [(seq, text) for seq, n in mine for text in n.lines]
    if progress:
        tx.run(_sql["set_progress"], rows=as_json([row[:2] for row in progress]))
        ids = [n.lease.id for _, _, n in progress]
        event_log.event(tx, q, EventKind.PROGRESS, ids, [row[1] for row in progress])
    if log:
        tx.run(_sql["insert_logs"], rows=as_json(log))
        tx.run(_sql["trim_logs"], seqs=as_json(sorted({seq for seq, _ in log})), keep=KEPT_LINES)
