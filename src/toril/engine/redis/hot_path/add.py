"""What the script `add` is told of jobs, and what it answers."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from toril.engine.base import Added, AddStatus
from toril.model.codec import payload_hash
from toril.model.job import NewJob
from toril.model.job_options import JobOptions

_NEW = 1
_FROM_NOW = -1


def pack(jobs: Sequence[NewJob]) -> list[Any]:
    """Return jobs as arguments: runs of those that share all but id and data.

    Args:
        jobs: The jobs.
    """
    out: list[Any] = []
    for (_, name), run in groupby(jobs, key=lambda job: (id(job.options), job.name)):
        its = list(run)
        first = its[0]
        out += (len(its), name, first.options_json, *_placing(first.options))
        rule = first.options.deduplication
        if rule is None:
            out.append("")
            for job in its:
                out += (job.id, job.data)
        else:
            out += ("key", rule.ttl_ms or 0, int(rule.extend), int(rule.replace))
            for job in its:
                key = payload_hash(job.name, job.data) if rule.key is None else rule.key
                out += (job.id, job.data, key)
    return out


def _placing(options: JobOptions) -> tuple[Any, ...]:
    """Return where a job goes: delay, due, priority, lifo, and its tags."""
    due = _FROM_NOW if options.delay_ms else options.scheduled_ms or 0
    tags = options.tags
    return options.delay_ms, due, options.priority, int(options.lifo), len(tags), *tags


def unpack(jobs: Sequence[NewJob], answer: Any) -> list[Added]:
    """Return what became of jobs.

    Args:
        jobs: The jobs.
        answer: What the script returned.
    """
    created, duplicate = AddStatus.CREATED, AddStatus.DUPLICATE
    if answer == _NEW:
        return [Added(job.id, created) for job in jobs]
    return [
        Added(what, AddStatus.DEDUPLICATED)
        if isinstance(what, str)
        else Added(job.id, created if what == _NEW else duplicate)
        for job, what in zip(jobs, answer, strict=True)
    ]
