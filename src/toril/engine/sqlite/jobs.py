"""Inspects and controls jobs. Listings read each page straight from an index."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from toril.engine.contract.jobs import Ending, Page
from toril.engine.contract.rules import foreign_cursor
from toril.engine.sqlite import job_control, queue_rows
from toril.engine.sqlite.queries import load
from toril.engine.sqlite.storage.storage import Storage
from toril.engine.sqlite.storage.transaction import Transaction, as_json
from toril.model import codec
from toril.model.checks import is_integer
from toril.model.job import AttemptError, Job, QueueRef
from toril.model.job_options import decode_options
from toril.model.state import STORED, JobState

_sql = load("jobs")

_RAW = (
    "seq", "id", "name", "data", "options", "state", "priority", "position", "created_at", "due_at",
    "started_at", "finished_at", "attempts_made", "attempts_started", "stalls", "lease_token",
    "lease_until", "cancel_requested", "progress", "result",
)  # fmt: skip
_END = 2**62
_LEAST = -_END
_MOST_READS = 50  # reads for one page, each as long as a page, if few jobs have the name


class SqliteJobs:
    """The jobs of a SQLite store's queues; see `Jobs` in the contract."""

    def __init__(self, storage: Storage) -> None:
        """Use a storage.

        Args:
            storage: The engine's storage.
        """
        self._storage = storage

    async def get(self, queue: QueueRef, ids: Sequence[str]) -> list[Job | None]:
        return await self._storage.read(_get, queue, ids)

    async def page(
        self,
        queue: QueueRef,
        *,
        states: Sequence[JobState] = (),
        name: str | None = None,
        tag: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page:
        return await self._storage.read(
            _page, queue, states=states, name=name, tag=tag, limit=limit, cursor=cursor
        )

    async def raw(self, queue: QueueRef, job_id: str) -> dict[str, Any] | None:
        return await self._storage.read(_raw, queue, job_id)

    async def logs(
        self, queue: QueueRef, job_id: str, *, start: int = 0, limit: int = 1000
    ) -> list[str]:
        return await self._storage.read(_logs, queue, job_id, start, limit)

    async def endings(self, queue: QueueRef, ids: Sequence[str]) -> dict[str, Ending | None]:
        return await self._storage.read(_endings, queue, ids)

    async def promote(self, queue: QueueRef, ids: Sequence[str]) -> list[str]:
        return await self._storage.synced(job_control.promote, queue, ids)

    async def retry(self, queue: QueueRef, ids: Sequence[str]) -> list[str]:
        return await self._storage.synced(job_control.retry, queue, ids)

    async def remove(self, queue: QueueRef, ids: Sequence[str]) -> list[str]:
        return await self._storage.synced(job_control.remove, queue, ids)

    async def cancel(self, queue: QueueRef, ids: Sequence[str]) -> list[str]:
        return await self._storage.synced(job_control.cancel, queue, ids)

    async def change(
        self,
        queue: QueueRef,
        job_id: str,
        *,
        priority: int | None = None,
        delay_ms: int | None = None,
        data: str | None = None,
    ) -> None:
        await self._storage.synced(
            job_control.change, queue, job_id, priority=priority, delay_ms=delay_ms, data=data
        )


def _get(tx: Transaction, queue: QueueRef, ids: Sequence[str]) -> list[Job | None]:
    """Return jobs by id, in order; None for those that do not exist."""
    q = queue_rows.find(tx, queue)
    if q is None:
        return [None] * len(ids)
    seqs = dict(tx.rows(_sql["seqs_of_ids"], queue=q.id, ids=as_json(ids)))
    jobs = _jobs(tx, queue, list(seqs.values()))
    return [jobs.get(seqs.get(index, -1)) for index in range(len(ids))]


def _raw(tx: Transaction, queue: QueueRef, job_id: str) -> dict[str, Any] | None:
    """Return the columns of a job's rows, with the result and the progress if there are any."""
    q = queue_rows.find(tx, queue)
    row = q and tx.row(_sql["raw"], queue=q.id, id=job_id)
    return dict(zip(_RAW, row, strict=True)) if row else None


def _jobs(tx: Transaction, queue: QueueRef, seqs: Sequence[int]) -> dict[int, Job]:
    """Return jobs by their row id, in order."""
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
    """Build a job from a row of the query `job`."""
    token: str | None = row[14]
    return Job(
        queue=queue,
        id=row[1],
        name=row[2],
        data_json=row[3],
        options=decode_options(row[4]),
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


def _page(
    tx: Transaction,
    queue: QueueRef,
    *,
    states: Sequence[JobState],
    name: str | None,
    tag: str | None,
    limit: int,
    cursor: str | None,
) -> Page:
    """Return a page of a listing; see `Jobs.page`."""
    q = queue_rows.require(tx, queue)
    wanted = list(states) or sorted(STORED)
    query, start = _listing(wanted, tag)
    at = _read_cursor(cursor, start)
    params = {"queue": q.id, "tag": tag, "state": wanted[0], "states": as_json(wanted)}
    found: list[int] = []
    for _ in range(_MOST_READS):
        rows = tx.rows(_sql[query], a=at[0], b=at[1], limit=limit, **params)
        fitting = _named(tx, rows, name)
        for seq, *key in rows:
            at = key
            if seq in fitting:
                found.append(seq)
            if len(found) == limit:
                return _page_of(tx, queue, found, at)
        if len(rows) < limit:
            return _page_of(tx, queue, found, None)
    return _page_of(tx, queue, found, at)


def _named(tx: Transaction, rows: Sequence[Sequence[Any]], name: str | None) -> set[int]:
    """Return the row ids of the jobs with a name; of all jobs if the name is None."""
    seqs = [row[0] for row in rows]
    if name is None:
        return set(seqs)
    return {seq for (seq,) in tx.rows(_sql["named"], seqs=as_json(seqs), name=name)}


def _page_of(
    tx: Transaction, queue: QueueRef, seqs: Sequence[int], at: Sequence[Any] | None
) -> Page:
    jobs = list(_jobs(tx, queue, seqs).values())
    return Page(jobs, None if at is None else as_json(at))


def _listing(states: Sequence[JobState], tag: str | None) -> tuple[str, tuple[Any, Any]]:
    """Return the query that reads a listing from an index, and its first cursor."""
    if tag is not None:
        return "page_tagged", (_LEAST, 0)
    if len(states) > 1:
        return "page_all", ("", 0)
    return _LISTINGS.get(states[0], ("page_all", ("", 0)))


_LISTINGS: dict[JobState, tuple[str, tuple[Any, Any]]] = {
    JobState.WAITING: ("page_ready", (_LEAST, _LEAST)),
    JobState.PRIORITIZED: ("page_ready", (0, _END)),  # after jobs without a priority
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
        raise foreign_cursor(cursor, "a page of this queue") from None
    for given, first in ((a, start[0]), (b, start[1])):
        if type(given) is not type(first) or (is_integer(given) and abs(given) > _END):
            raise foreign_cursor(cursor, "this listing")
    return a, b


def _endings(tx: Transaction, queue: QueueRef, ids: Sequence[str]) -> dict[str, Ending | None]:
    """Return how jobs ended; None for jobs that have not finished."""
    q = queue_rows.find(tx, queue)
    if q is None:
        return {}
    rows = tx.rows(_sql["endings"], queue=q.id, ids=as_json(ids))
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


def _logs(tx: Transaction, queue: QueueRef, job_id: str, start: int, limit: int) -> list[str]:
    """Return lines from a job's log."""
    q = queue_rows.find(tx, queue)
    if q is None:
        return []
    seqs = tx.rows(_sql["seqs_of_ids"], queue=q.id, ids=as_json([job_id]))
    if not seqs:
        return []
    found = tx.rows(_sql["logs"], seq=seqs[0][1], start=start, limit=limit)
    return [text for (text,) in found]
