"""Looking at jobs, a page at a time, without walking past those that are not shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from toril.engine.base import Ending, Page
from toril.engine.sqlite import queue_rows
from toril.engine.sqlite.queries import load
from toril.engine.sqlite.storage.transaction import Transaction, as_json
from toril.errors import ValidationError
from toril.model import codec
from toril.model.checks import is_integer
from toril.model.job import AttemptError, Job, QueueRef
from toril.model.state import STORED, JobState

_sql = load("inspect")

_END = 2**62
_LEAST = -_END
_MOST_READS = 50  # of a page's size, for a name that is rare


def get(tx: Transaction, queue: QueueRef, ids: Sequence[str]) -> list[Job | None]:
    """Return jobs by id, in order."""
    line = queue_rows.find(tx, queue)
    if line is None:
        return [None] * len(ids)
    seqs = dict(tx.rows(_sql["seqs_of_ids"], queue=line.id, ids=as_json(ids)))
    jobs = _jobs(tx, queue, list(seqs.values()))
    return [jobs.get(seqs.get(place, -1)) for place in range(len(ids))]


def _jobs(tx: Transaction, queue: QueueRef, seqs: Sequence[int]) -> dict[int, Job]:
    """Return jobs by their place in the store, in order."""
    packed = as_json(seqs)
    errors = _errors(tx, packed)
    return {
        row[0]: _job(queue, row, tuple(errors.get(row[0], ())))
        for row in tx.rows(_sql["job"], seqs=packed)
    }


def _errors(tx: Transaction, seqs: str) -> dict[int, list[AttemptError]]:
    found: dict[int, list[AttemptError]] = {}
    for seq, *error in tx.rows(_sql["errors_of"], seqs=seqs):
        found.setdefault(seq, []).append(AttemptError(*error))
    return found


def _job(queue: QueueRef, row: Sequence[Any], errors: tuple[AttemptError, ...]) -> Job:
    """Make a job of a row of the query `job`."""
    token: str | None = row[14]
    return Job(
        queue=queue,
        id=row[1],
        name=row[2],
        data_json=row[3],
        options=codec.decode_options(row[4]),
        state=JobState(row[5]),
        priority=row[6],
        created_ms=row[7],
        due_ms=row[8],
        started_ms=row[9],
        finished_ms=row[10],
        attempts_made=row[11],
        attempts_started=row[12],
        stalls=row[13],
        worker=None if token is None else token.rpartition(":")[0],
        cancel_requested=bool(row[15]),
        progress_json=row[16],
        result_json=row[17],
        errors=errors,
    )


def page(
    tx: Transaction,
    queue: QueueRef,
    *,
    states: Sequence[JobState],
    name: str | None,
    tag: str | None,
    limit: int,
    cursor: str | None,
) -> Page:
    """Return part of a listing; see `Engine.page`."""
    line = queue_rows.require(tx, queue)
    wanted = list(states) or sorted(STORED)
    query, start = _listing(wanted, tag)
    at = _read_cursor(cursor, start)
    params = {"queue": line.id, "tag": tag, "state": wanted[0], "states": as_json(wanted)}
    found: list[int] = []
    for _ in range(_MOST_READS):
        rows = tx.rows(_sql[query], a=at[0], b=at[1], limit=limit, **params)
        fitting = _named(tx, rows, name)
        for seq, *key in rows:
            at = key
            if seq in fitting:
                found.append(seq)
            if len(found) == limit:
                return _page(tx, queue, found, at)
        if len(rows) < limit:
            return _page(tx, queue, found, None)
    return _page(tx, queue, found, at)


def _named(tx: Transaction, rows: Sequence[Sequence[Any]], name: str | None) -> set[int]:
    """Return those of the jobs that have a name."""
    seqs = [row[0] for row in rows]
    if name is None:
        return set(seqs)
    return {seq for (seq,) in tx.rows(_sql["named"], seqs=as_json(seqs), name=name)}


def _page(tx: Transaction, queue: QueueRef, seqs: Sequence[int], at: Sequence[Any] | None) -> Page:
    jobs = list(_jobs(tx, queue, seqs).values())
    return Page(jobs, None if at is None else as_json(at))


def _listing(states: Sequence[JobState], tag: str | None) -> tuple[str, tuple[Any, Any]]:
    """Return the query that reads a listing from an index, and where it begins."""
    if tag is not None:
        return "page_tagged", (_LEAST, 0)
    if len(states) > 1:
        return "page_all", ("", 0)
    return _LISTINGS.get(states[0], ("page_all", ("", 0)))


_LISTINGS: dict[JobState, tuple[str, tuple[Any, Any]]] = {
    JobState.WAITING: ("page_ready", (_LEAST, _LEAST)),
    JobState.PRIORITIZED: ("page_ready", (0, _END)),  # after those without a priority
    JobState.DELAYED: ("page_due", (_LEAST, _LEAST)),
    JobState.ACTIVE: ("page_active", (_LEAST, _LEAST)),
    JobState.COMPLETED: ("page_finished", (_END, _END)),
    JobState.FAILED: ("page_finished", (_END, _END)),
}


def _read_cursor(cursor: str | None, start: Sequence[Any]) -> Sequence[Any]:
    if cursor is None:
        return start
    try:
        a, b = codec.decode(cursor)
    except (ValueError, TypeError):
        raise ValidationError("cursor", f"{cursor!r} is not from a page of this queue") from None
    for given, first in ((a, start[0]), (b, start[1])):
        if type(given) is not type(first) or (is_integer(given) and abs(given) > _END):
            raise ValidationError("cursor", f"{cursor!r} is from another listing")
    return a, b


def endings(tx: Transaction, queue: QueueRef, ids: Sequence[str]) -> dict[str, Ending | None]:
    """Return how jobs ended; None while they go on."""
    line = queue_rows.find(tx, queue)
    if line is None:
        return {}
    rows = tx.rows(_sql["endings"], queue=line.id, ids=as_json(ids))
    failed = [seq for _, seq, state, _ in rows if state == JobState.FAILED]
    errors = _errors(tx, as_json(failed)) if failed else {}
    found: dict[str, Ending | None] = {}
    for job_id, seq, state, result in rows:
        match state:
            case JobState.COMPLETED:
                found[job_id] = Ending(JobState.COMPLETED, result)
            case JobState.FAILED:
                last = errors[seq][-1] if errors.get(seq) else None
                found[job_id] = Ending(JobState.FAILED, error=last)
            case _:
                found[job_id] = None
    return found


def logs(tx: Transaction, queue: QueueRef, job_id: str, start: int, limit: int) -> list[str]:
    """Return lines of a job's log."""
    line = queue_rows.find(tx, queue)
    if line is None:
        return []
    seqs = tx.rows(_sql["seqs_of_ids"], queue=line.id, ids=as_json([job_id]))
    if not seqs:
        return []
    found = tx.rows(_sql["logs"], seq=seqs[0][1], start=start, limit=limit)
    return [text for (text,) in found]
