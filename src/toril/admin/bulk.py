"""Acting on many jobs of a queue: those of given ids, or all that fit a filter."""

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
"""Where `count` stops counting jobs with a name or tag, as it has to look at each."""


class Filter(NamedTuple):
    """Which jobs are meant.

    Attributes:
        name: With this name; None is any.
        tag: With this tag; None is any.
    """

    name: str | None = None
    tag: str | None = None


class Verb(NamedTuple):
    """Something that can be done to jobs.

    Attributes:
        name: The verb.
        past: Its past participle.
        states: The states of the jobs it is for if none are named.
        some: Does it to jobs by id; returns those it was done to.
        many: Does it to all that fit; returns how many.
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
    lambda queue, those: queue.retry_jobs(name=those.name, tag=those.tag),
)
REMOVE = Verb(
    "remove",
    "removed",
    STORED - {JobState.ACTIVE},
    lambda jobs: jobs.remove,
    lambda queue, those: queue.remove_jobs(name=those.name, tag=those.tag),
)
PROMOTE = Verb(
    "promote",
    "promoted",
    frozenset({JobState.DELAYED}),
    lambda jobs: jobs.promote,
    lambda queue, those: queue.promote_jobs(name=those.name, tag=those.tag),
)
CANCEL = Verb(
    "cancel",
    "cancelled",
    STORED - FINAL,
    lambda jobs: jobs.cancel,
    lambda queue, those: queue.cancel_jobs(name=those.name, tag=those.tag),
)


class Applied(NamedTuple):
    """What became of jobs that were named.

    Attributes:
        done: The ids of those it was done to.
        refused: Why not, by the id of each other.
    """

    done: list[str]
    refused: dict[str, str]


async def apply(queue: Queue, verb: Verb, ids: Sequence[str]) -> Applied:
    """Do something to jobs by id.

    Args:
        queue: The queue.
        verb: What to do.
        ids: The jobs.

    Raises:
        NotFoundError: It could be done to none, and none exists.
        ConflictError: It could be done to none.
    """
    done = await verb.some(queue.engine.jobs)(queue.ref, ids)
    return Applied(done, await _reasons(queue, verb, ids, done))


async def _reasons(
    queue: Queue, verb: Verb, ids: Sequence[str], done: Sequence[str]
) -> dict[str, str]:
    succeeded = set(done)
    left = [job_id for job_id in dict.fromkeys(ids) if job_id not in succeeded]
    jobs = await queue.engine.jobs.get(queue.ref, left) if left else []
    reasons = {
        job_id: str(no_such_job(queue.ref, job_id))
        if found is None
        else f"job {job_id} is {found.state} and cannot be {verb.past}"
        for job_id, found in zip(left, jobs, strict=True)
    }
    if reasons and not done:
        kind = NotFoundError if all(found is None for found in jobs) else ConflictError
        raise kind("; ".join(reasons.values()))
    return reasons


async def count(queue: Queue, verb: Verb, those: Filter) -> int:
    """Return how many jobs fit: about as many as `verb.many` would act on.

    Args:
        queue: The queue.
        verb: What is to be done.
        those: Which jobs. With a name or tag at most `COUNTED_AT_MOST` are counted.
    """
    if those == Filter():
        counts = await queue.counts()
        return sum(counts[state] for state in verb.states)
    found = 0
    async for job in queue.each(name=those.name, tag=those.tag):
        found += job.state in verb.states
        if found == COUNTED_AT_MOST:
            break
    return found
