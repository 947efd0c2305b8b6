"""Adds jobs: in bulk, or one by one if they have deduplication keys."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import TypeAlias

from toril.engine.contract.events import EventKind
from toril.engine.contract.hot_path import Added, AddStatus, Batch
from toril.engine.sqlite import event_log, job_rows, keyed_lanes, queue_rows, registration
from toril.engine.sqlite.queries import load
from toril.engine.sqlite.queue_rows import QueueRow
from toril.engine.sqlite.storage.transaction import Transaction, as_json
from toril.model.codec import payload_hash
from toril.model.durations import LATEST_MS
from toril.model.job import NewJob, QueueRef
from toril.model.job_options import JobOptions
from toril.model.options import Deduplication
from toril.model.state import JobState

_sql = load("add")

_Result: TypeAlias = tuple[str, AddStatus]
"""The id of the new or existing job, and its status."""


def add(
    tx: Transaction, queue: QueueRef, jobs: Sequence[NewJob], batch: Batch | None, location: str
) -> list[Added]:
    """Add jobs in order; see `Engine.add`.

    Args:
        tx: The transaction.
        queue: The queue.
        jobs: The jobs.
        batch: Identifies the batch, so that adding it again has no effect.
        location: The store's location.
    """
    return [Added(job_id, status, location) for job_id, status in add_all(tx, queue, jobs, batch)]


def add_all(
    tx: Transaction, queue: QueueRef, jobs: Sequence[NewJob], batch: Batch | None = None
) -> list[_Result]:
    """Add jobs in order; return each one's status, and the id of the new or existing job."""
    q = registration.present(tx, queue)
    if batch is not None and _seen(tx, q, batch):
        return [_existing(tx, q, job) for job in jobs]
    added: list[_Result] = []
    for has_key, run in groupby(jobs, key=lambda job: job.options.deduplication is not None):
        if has_key:
            for job in run:
                added.append(_add_with_key(tx, q, job))  # noqa: PERF401 - each add sees the one before
        else:
            added += _add_plain(tx, q, list(run))
    _announce(tx, q, jobs, added)
    return added


def _seen(tx: Transaction, q: QueueRow, batch: Batch) -> bool:
    """Return whether a batch was added before; if it was not, remember it."""
    last = tx.value(_sql["last_sequence"], queue=q.id, producer=batch.producer)
    if last is not None and batch.sequence <= last:
        return True
    tx.run(
        _sql["remember_sequence"],
        queue=q.id,
        producer=batch.producer,
        sequence=batch.sequence,
        now=tx.now,
    )
    return False


def _existing(tx: Transaction, q: QueueRow, job: NewJob) -> _Result:
    """Return the result for a job whose batch was added before."""
    rule = job.options.deduplication
    if rule is not None and not tx.row(_sql["exists"], queue=q.id, id=job.id):
        owner = tx.row(_sql["key_owner"], queue=q.id, key=_key_of(job, rule), now=tx.now)
        if owner is not None:
            return (owner[0], AddStatus.DEDUPLICATED)
    return (job.id, AddStatus.DUPLICATE)


def _key_of(job: NewJob, rule: Deduplication) -> str:
    return rule.key if rule.key is not None else payload_hash(job.name, job.data)


def _add_plain(
    tx: Transaction, q: QueueRow, jobs: Sequence[NewJob], key: str | None = None
) -> list[_Result]:
    base = queue_rows.tickets(tx, len(jobs))
    first = jobs[0]
    alike = all(job.options is first.options and job.name == first.name for job in jobs)
    created = (_insert_alike if alike else _insert)(tx, q, base, jobs, key)
    if created:
        if q.by_key is not None:
            keyed_lanes.assign(tx, q.by_key, base, jobs)
        queue_rows.tally_added(tx, q, base, len(jobs))
        _add_tags(tx, q, base, jobs)
    if created == len(jobs):
        return [(job.id, AddStatus.CREATED) for job in jobs]
    new = set(tx.set_of(_sql["inserted"], base=base, count=len(jobs)))
    return [
        (job.id, AddStatus.CREATED if index in new else AddStatus.DUPLICATE)
        for index, job in enumerate(jobs)
    ]


def _insert(
    tx: Transaction, q: QueueRow, base: int, jobs: Sequence[NewJob], key: str | None
) -> int:
    """Insert jobs; return how many of them are new."""
    rows = as_json([(job.id, *_initial_state(tx.now, job.options), key) for job in jobs])
    created = tx.run(_sql["insert_jobs"], base=base, queue=q.id, now=tx.now, jobs=rows)
    bodies = as_json([(job.name, job.data, job.options_json) for job in jobs])
    tx.run(_sql["insert_bodies"], base=base, bodies=bodies)
    return created


def _insert_alike(
    tx: Transaction, q: QueueRow, base: int, jobs: Sequence[NewJob], key: str | None
) -> int:
    """Insert jobs that share their name and options; return how many of them are new."""
    first = jobs[0]
    state, priority, direction, due, delay = _initial_state(tx.now, first.options)
    created = tx.run(
        _sql["insert_jobs_alike"],
        base=base,
        queue=q.id,
        ids=as_json([job.id for job in jobs]),
        state=state,
        priority=priority,
        direction=direction,
        now=tx.now,
        due_at=due,
        delay_ms=delay,
        dedup=key,
    )
    tx.run(
        _sql["insert_bodies_alike"],
        base=base,
        name=first.name,
        data=as_json([job.data for job in jobs]),
        options=first.options_json,
    )
    return created


def _initial_state(now: int, options: JobOptions) -> tuple[str, int, int, int | None, int | None]:
    """Return a new job's state, priority, direction (-1 puts it first), due time and delay."""
    delay = options.delay_ms or None
    due = options.scheduled_ms if delay is None else now + delay
    if due is not None and due > now:
        state, due = JobState.DELAYED, min(due, LATEST_MS)
    else:
        due = None
        state = JobState.PRIORITIZED if options.priority else JobState.WAITING
    return state, options.priority, -1 if options.lifo else 1, due, delay


def _add_tags(tx: Transaction, q: QueueRow, base: int, jobs: Sequence[NewJob]) -> None:
    tags = [(index, tag) for index, job in enumerate(jobs) for tag in job.options.tags]
    if tags:
        tx.run(_sql["insert_tags"], queue=q.id, base=base, tags=as_json(tags))


def _add_with_key(tx: Transaction, q: QueueRow, job: NewJob) -> _Result:
    """Add a job unless another holds its deduplication key."""
    if tx.row(_sql["exists"], queue=q.id, id=job.id):
        return (job.id, AddStatus.DUPLICATE)
    rule = job.options.deduplication or Deduplication()
    key = _key_of(job, rule)
    owner = tx.row(_sql["key_owner"], queue=q.id, key=key, now=tx.now)
    if owner is not None:
        owner_id, owner_seq, owner_state, expires, ttl = owner
        if not rule.replace:
            if rule.extend:
                ttl, expires = rule.ttl_ms, None
            if ttl is not None and (expires is None or expires > tx.now + ttl):
                # The time starts anew, or it is too long because the clock was set back.
                tx.run(_sql["extend_key"], queue=q.id, key=key, now=tx.now, ttl_ms=ttl)
            event_log.event(tx, q, EventKind.DEDUPLICATED, [owner_id], [job.id])
            return (owner_id, AddStatus.DEDUPLICATED)
        # An owner that is no longer delayed stays: the last job of a burst runs after it.
        if owner_state == JobState.DELAYED:
            job_rows.remove(tx, [owner_seq])
            event_log.event(tx, q, EventKind.REMOVED, [owner_id])
    added = _add_plain(tx, q, [job], key)
    tx.run(_sql["hold_key"], queue=q.id, key=key, id=job.id, now=tx.now, ttl_ms=rule.ttl_ms)
    return added[0]


def _announce(
    tx: Transaction, q: QueueRow, jobs: Sequence[NewJob], added: Sequence[_Result]
) -> None:
    new = [job for job, (_, status) in zip(jobs, added, strict=True) if status is AddStatus.CREATED]
    if new:
        event_log.event(tx, q, EventKind.ADDED, [job.id for job in new], [job.name for job in new])
        tx.work.add(q.ref)
