"""Operations on job rows that several modules share."""

from __future__ import annotations

from collections.abc import Sequence

from toril.engine.contract.events import EventKind
from toril.engine.sqlite import event_log, queue_rows
from toril.engine.sqlite.queries import load
from toril.engine.sqlite.queue_rows import QueueRow
from toril.engine.sqlite.storage.transaction import Transaction, as_json
from toril.model.state import JobState

_sql = load("job_rows")


def find(
    tx: Transaction, q: QueueRow, ids: Sequence[str], states: frozenset[JobState]
) -> list[tuple[int, str]]:
    """Return the row id and id of the jobs in some states, in the order of `ids`."""
    wanted = as_json(list(dict.fromkeys(ids)))
    found = tx.set_of(_sql["find"], queue=q.id, ids=wanted, states=as_json(states))
    return [(seq, job_id) for seq, job_id in found]


def remove(tx: Transaction, seqs: Sequence[int]) -> None:
    """Remove jobs and everything stored with them."""
    tx.run(_sql["remove"], seqs=as_json(seqs))


def remove_by_hand(tx: Transaction, q: QueueRow, jobs: Sequence[tuple[int, str]]) -> list[str]:
    """Remove jobs on request, together with their deduplication keys; return their ids."""
    ids = [job_id for _, job_id in jobs]
    if jobs:
        seqs = [seq for seq, _ in jobs]
        tx.run(_sql["free_keys"], queue=q.id, seqs=as_json(seqs))
        remove(tx, seqs)
        event_log.event(tx, q, EventKind.REMOVED, ids)
    return ids


def release_keys(tx: Transaction, q: QueueRow, seqs: Sequence[int]) -> None:
    """Release the deduplication keys that are held only until their jobs have finished."""
    tx.run(_sql["release_keys"], queue=q.id, seqs=as_json(seqs))


def promote(tx: Transaction, q: QueueRow, jobs: Sequence[tuple[int, str]]) -> None:
    """Make delayed jobs ready, behind those that already are."""
    if not jobs:
        return
    base = queue_rows.tickets(tx, len(jobs))
    rows = [(seq, base + index) for index, (seq, _) in enumerate(jobs, 1)]
    tx.run(_sql["promote"], rows=as_json(rows))
    event_log.event(tx, q, EventKind.PROMOTED, [job_id for _, job_id in jobs])
