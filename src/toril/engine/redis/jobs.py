"""Listings, a page at a time."""

from __future__ import annotations

from collections.abc import Sequence

from toril.engine.base import Page
from toril.engine.redis.connection.connections import Connections
from toril.engine.redis.job_hash import Cursor, job_of, read_cursor
from toril.engine.redis.scripts.keys import keys_of
from toril.engine.redis.scripts.packing import as_json
from toril.model.job import Job, QueueRef
from toril.model.state import STORED, JobState

_ORDER = (
    JobState.ACTIVE,
    JobState.WAITING,
    JobState.PRIORITIZED,
    JobState.DELAYED,
    JobState.WAITING_CHILDREN,
    JobState.COMPLETED,
    JobState.FAILED,
)
_LISTS = frozenset({JobState.ACTIVE, JobState.WAITING})
_REMEMBERED = 5  # of a list's last jobs: one of them may be there still
_MOST_READS = 50  # of a page's size, for a name that is rare
_READ_AT_ONCE = 500


async def get(
    connections: Connections, queue: QueueRef, ids: Sequence[str], state: str = ""
) -> list[Job | None]:
    """Return jobs by id, in order; with a state, only those that are in it."""
    found: list[Job | None] = []
    for first in range(0, len(ids), _READ_AT_ONCE):
        some = ids[first : first + _READ_AT_ONCE]
        answer = await connections.run("get", queue, state, *some)
        found += [None if job is None else job_of(queue, job) for job in answer]
        found += [None] * (len(some) - len(answer))
    return found


async def page(
    connections: Connections,
    queue: QueueRef,
    *,
    states: Sequence[JobState],
    name: str | None,
    tag: str | None,
    limit: int,
    cursor: str | None,
) -> Page:
    """Return part of a listing; see `Engine.page`."""
    await connections.run("counts", queue)  # raises where there is no such queue
    wanted = [state for state in _ORDER if state in (states or STORED)]
    at = read_cursor(cursor, f"{','.join(sorted(wanted))}#{tag or ''}")
    found: list[Job] = []
    for _ in range(_MOST_READS):
        part = limit - len(found)
        if tag is not None:
            jobs, at, over = await _tagged(connections, queue, tag, part, at)
            jobs = [job for job in jobs if job.state in wanted]
        else:
            jobs, at, over = await _in_state(connections, queue, wanted, part, at)
        found += [job for job in jobs if name is None or job.name == name]
        if over:
            return Page(found, None)
        if len(found) == limit:
            break
    return Page(found, as_json(at))


async def _in_state(
    connections: Connections,
    queue: QueueRef,
    states: Sequence[JobState],
    limit: int,
    at: Cursor,
) -> tuple[list[Job], Cursor, bool]:
    """Return jobs of the state that is next, where to go on, and whether that was all."""
    if at.place >= len(states):
        return [], at, True
    state = states[at.place]
    if state in _LISTS:
        ids = await connections.run("list", queue, state, limit, "-", *at.ids)
        last = Cursor(at.listing, at.place, "", tuple(ids[: -_REMEMBERED - 1 : -1]))
    else:
        after = (at.score, at.ids[0]) if at.ids else ("",)
        flat = await connections.run("list", queue, state, limit, *after)
        ids = flat[::2]
        last = Cursor(at.listing, at.place, flat[-1] if flat else "", tuple(ids[-1:]))
    jobs = [job for job in await get(connections, queue, ids, state) if job is not None]
    if len(ids) < limit:
        last = Cursor(at.listing, at.place + 1)
    return jobs, last, last.place == len(states)


async def _tagged(
    connections: Connections, queue: QueueRef, tag: str, limit: int, at: Cursor
) -> tuple[list[Job], Cursor, bool]:
    """Return jobs with a tag in the order in which they were added."""
    key = keys_of(queue).tag(tag)
    first = f"({at.score}" if at.score else "-inf"
    flat = await connections.call(
        "ZRANGEBYSCORE", key, first, "+inf", "WITHSCORES", "LIMIT", 0, limit
    )
    ids = flat[::2]
    jobs = await get(connections, queue, ids)
    gone = [job_id for job_id, job in zip(ids, jobs, strict=True) if job is None]
    if gone:  # removed by who does not know of tags
        await connections.call("ZREM", key, *gone)
    last = Cursor(at.listing, 0, flat[-1] if flat else at.score)
    return [job for job in jobs if job is not None], last, len(ids) < limit
