"""Adding jobs: in bulk where it is plain, one by one where a key decides."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from toril.engine.base import Added, AddStatus, Batch
from toril.engine.sqlite import events, keyed_lanes, queue_rows
from toril.engine.sqlite.queries import load
from toril.engine.sqlite.storage.transaction import Transaction, as_json
from toril.model.codec import payload_hash
from toril.model.job import NewJob, QueueRef
from toril.model.job_options import JobOptions
from toril.model.options import Deduplication
from toril.model.state import JobState

_sql = load("add")
_remove = load("exchange")["remove"]

_PRODUCER_IDLE_MS = 24 * 60 * 60 * 1000
_PRODUCERS_CHECKED_EVERY = 1024


def add(
    tx: Transaction, queue: QueueRef, jobs: Sequence[NewJob], batch: Batch | None
) -> list[Added]:
    """Add jobs in order; see `Engine.add`."""
    line = queue_rows.make(tx, queue)
    if batch is not None and _seen(tx, line, batch):
        return [_standing(tx, line, job) for job in jobs]
    added: list[Added] = []
    for has_key, run in groupby(jobs, key=lambda job: job.options.deduplication is not None):
        if has_key:
            for job in run:
                added.append(_add_with_key(tx, line, job))  # noqa: PERF401 - each sees the last
        else:
            added += _add_plain(tx, line, list(run))
    _announce(tx, line, jobs, added)
    return added


def _seen(tx: Transaction, line: queue_rows.Line, batch: Batch) -> bool:
    """Whether a batch was added before; if not, it has been now."""
    last = tx.value(_sql["last_sequence"], queue=line.id, producer=batch.producer)
    if last is not None and batch.sequence <= last:
        return True
    tx.run(
        _sql["remember_sequence"],
        queue=line.id,
        producer=batch.producer,
        sequence=batch.sequence,
        now=tx.now,
    )
    if batch.sequence % _PRODUCERS_CHECKED_EVERY == 0:
        before = tx.now - _PRODUCER_IDLE_MS
        tx.run(_sql["forget_idle_producers"], queue=line.id, before=before)
    return False


def _standing(tx: Transaction, line: queue_rows.Line, job: NewJob) -> Added:
    """Say what stands for a job whose batch was added before."""
    rule = job.options.deduplication
    if rule is not None and not tx.row(_sql["exists"], queue=line.id, id=job.id):
        owner = tx.row(_sql["key_owner"], queue=line.id, key=_key_of(job, rule), now=tx.now)
        if owner is not None:
            return Added(owner[0], AddStatus.DEDUPLICATED)
    return Added(job.id, AddStatus.DUPLICATE)


def _key_of(job: NewJob, rule: Deduplication) -> str:
    return rule.key if rule.key is not None else payload_hash(job.name, job.data)


def _add_plain(
    tx: Transaction, line: queue_rows.Line, jobs: Sequence[NewJob], key: str | None = None
) -> list[Added]:
    base = queue_rows.tickets(tx, len(jobs))
    first = jobs[0]
    alike = all(job.options is first.options and job.name == first.name for job in jobs)
    created = (_insert_alike if alike else _insert)(tx, line, base, jobs, key)
    if created:
        if line.by_key is not None:
            keyed_lanes.assign(tx, line.by_key, base, jobs)
        queue_rows.tally_added(tx, line, base, len(jobs))
        _add_tags(tx, line, base, jobs)
    if created == len(jobs):
        return [Added(job.id, AddStatus.CREATED) for job in jobs]
    new = set(tx.set_of(_sql["inserted"], base=base, count=len(jobs)))
    return [
        Added(job.id, AddStatus.CREATED if place in new else AddStatus.DUPLICATE)
        for place, job in enumerate(jobs)
    ]


def _insert(
    tx: Transaction, line: queue_rows.Line, base: int, jobs: Sequence[NewJob], key: str | None
) -> int:
    """Insert jobs; return how many were not there."""
    rows = as_json([(job.id, *_place(tx.now, job.options), key) for job in jobs])
    created = tx.run(_sql["insert_jobs"], base=base, queue=line.id, now=tx.now, jobs=rows)
    bodies = as_json([(job.name, job.data, job.options_json) for job in jobs])
    tx.run(_sql["insert_bodies"], base=base, bodies=bodies)
    return created


def _insert_alike(
    tx: Transaction, line: queue_rows.Line, base: int, jobs: Sequence[NewJob], key: str | None
) -> int:
    """Insert jobs that share their name and options; return how many were not there."""
    first = jobs[0]
    state, priority, direction, due = _place(tx.now, first.options)
    created = tx.run(
        _sql["insert_jobs_alike"],
        base=base,
        queue=line.id,
        ids=as_json([job.id for job in jobs]),
        state=state,
        priority=priority,
        direction=direction,
        now=tx.now,
        due_at=due,
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


def _place(now: int, options: JobOptions) -> tuple[str, int, int, int | None]:
    """Return a new job's state, priority, direction, and when it is due."""
    due = now + options.delay_ms if options.delay_ms else options.scheduled_ms
    if due is not None and due > now:
        state = JobState.DELAYED
    else:
        due = None
        state = JobState.PRIORITIZED if options.priority else JobState.WAITING
    return state, options.priority, -1 if options.lifo else 1, due


def _add_tags(tx: Transaction, line: queue_rows.Line, base: int, jobs: Sequence[NewJob]) -> None:
    tags = [(place, tag) for place, job in enumerate(jobs) for tag in job.options.tags]
    if tags:
        tx.run(_sql["insert_tags"], queue=line.id, base=base, tags=as_json(tags))


def _add_with_key(tx: Transaction, line: queue_rows.Line, job: NewJob) -> Added:
    """Add a job unless another holds its deduplication key."""
    if tx.row(_sql["exists"], queue=line.id, id=job.id):
        return Added(job.id, AddStatus.DUPLICATE)
    rule = job.options.deduplication or Deduplication()
    key = _key_of(job, rule)
    expires = None if rule.ttl_ms is None else tx.now + rule.ttl_ms
    owner = tx.row(_sql["key_owner"], queue=line.id, key=key, now=tx.now)
    if owner is not None:
        owner_id, owner_seq, owner_state = owner
        if not (rule.replace and owner_state == JobState.DELAYED):
            if rule.extend and not rule.replace:
                tx.run(_sql["extend_key"], queue=line.id, key=key, expires_at=expires)
            events.event(tx, line, "deduplicated", [owner_id], [job.id])
            return Added(owner_id, AddStatus.DEDUPLICATED)
        tx.run(_remove, seqs=as_json([owner_seq]))
        events.event(tx, line, "removed", [owner_id])
    added = _add_plain(tx, line, [job], key)
    tx.run(_sql["hold_key"], queue=line.id, key=key, id=job.id, expires_at=expires)
    return added[0]


def _announce(
    tx: Transaction, line: queue_rows.Line, jobs: Sequence[NewJob], added: Sequence[Added]
) -> None:
    new = [job for job, what in zip(jobs, added, strict=True) if what.status is AddStatus.CREATED]
    if new:
        events.event(tx, line, "added", [job.id for job in new], [job.name for job in new])
        tx.work.add(line.ref)
