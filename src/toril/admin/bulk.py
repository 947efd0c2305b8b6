"""Operations on many jobs of a queue: those with given ids, or all that match a filter."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, NamedTuple

from toril.engine.contract.jobs import Jobs
from toril.engine.contract.rules import no_such_job
from toril.errors import ConflictError, NotFoundError
from toril.model.job import QueueRef
from toril.model.state import FINAL, STORED, JobState
from toril.queues.queue import Queue

COUNTED_AT_MOST = 10_000
"""Where `count` stops counting jobs with a name or tag, because it has to load each of them."""


class Filter(NamedTuple):
    """Selects jobs.

    Attributes:
        name: Only jobs with this name; None means any name.
        tag: Only jobs with this tag; None means any tag.
    """

    name: str | None = None
    tag: str | None = None


class Verb(NamedTuple):
    """An operation on jobs.

    Attributes:
        name: The verb.
        past: The verb's past participle.
        states: The states of jobs that the operation selects if no ids are given.
        some: Applies the operation to jobs by id and returns the ids for which it succeeded.
        many: Applies the operation to all matching jobs and returns how many there were.
    """

    name: str
    past: str
    states: frozenset[JobState]
    some: Callable[[Jobs], Callable[[QueueRef, Sequence[str]], Coroutine[Any, Any, list[str]]]]
    many: Callable[[Queue, Filter], Coroutine[Any, Any, int]]


RETRY = Verb(
    "retry",
    "retried",
    frozenset({JobState.FAILED}),
    lambda jobs: jobs.retry,
    lambda queue, filters: queue.retry_jobs(name=filters.name, tag=filters.tag),
)
REMOVE = Verb(
    "remove",
    "removed",
    STORED - {JobState.ACTIVE},
    lambda jobs: jobs.remove,
    lambda queue, filters: queue.remove_jobs(name=filters.name, tag=filters.tag),
)
PROMOTE = Verb(
    "promote",
    "promoted",
    frozenset({JobState.DELAYED}),
    lambda jobs: jobs.promote,
    lambda queue, filters: queue.promote_jobs(name=filters.name, tag=filters.tag),
)
CANCEL = Verb(
    "cancel",
    "cancelled",
    STORED - FINAL,
    lambda jobs: jobs.cancel,
    lambda queue, filters: queue.cancel_jobs(name=filters.name, tag=filters.tag),
)


class Applied(NamedTuple):
    """The result of an operation on jobs by id.

    Attributes:
        done: The ids of the jobs for which it succeeded.
        refused: The reason for each of the other jobs, by id.
    """

    done: list[str]
    refused: dict[str, str]


async def apply(queue: Queue, verb: Verb, ids: Sequence[str]) -> Applied:
    """Apply an operation to jobs by id.

    Args:
        queue: The queue.
        verb: The operation.
        ids: The ids of the jobs.

    Raises:
        NotFoundError: None of the jobs exists.
        ConflictError: The operation succeeded for none of the jobs, although some exist.
    """
    done = await verb.some(queue.engine.jobs)(queue.ref, ids)
    return Applied(done, await _reasons(queue, verb, ids, done))


async def _reasons(
    queue: Queue, verb: Verb, ids: Sequence[str], done: Sequence[str]
) -> dict[str, str]:
    succeeded = set(done)
    others = [job_id for job_id in dict.fromkeys(ids) if job_id not in succeeded]
    jobs = await queue.engine.jobs.get(queue.ref, others) if others else []
    reasons = {
        job_id: str(no_such_job(queue.ref, job_id))
        if found is None
        else f"job {job_id} is {found.state} and cannot be {verb.past}"
        for job_id, found in zip(others, jobs, strict=True)
    }
    if reasons and not done:
        kind = NotFoundError if all(found is None for found in jobs) else ConflictError
        raise kind("; ".join(reasons.values()))
    return reasons


async def count(queue: Queue, verb: Verb, filters: Filter) -> int:
    """Return how many jobs match: about as many as `verb.many` would act on.

    Args:
        queue: The queue.
        verb: The operation.
        filters: Selects the jobs. With a name or tag, at most `COUNTED_AT_MOST` are counted.
    """
    if filters == Filter():
        counts = await queue.counts()
        return sum(counts[state] for state in verb.states)
    found = 0
    async for job in queue.each(name=filters.name, tag=filters.tag):
        found += job.state in verb.states
        if found == COUNTED_AT_MOST:
            break
    return found
