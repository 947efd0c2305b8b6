"""Jobs: inspection, a page at a time, and control."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from toril.engine.contract.jobs import Ending, Page
from toril.engine.contract.rules import cannot_change, foreign_cursor, no_such_job
from toril.engine.redis.job_hash import ending_of, job_of
from toril.engine.redis.scripts.keys import keys_of
from toril.engine.redis.scripts.script import as_json
from toril.engine.redis.session import Session, Sessions
from toril.model.job import Job, QueueRef
from toril.model.outcome import CANCEL_REASON, ErrorKind
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


class RedisJobs:
    """The jobs of a Redis store's queues; see `Jobs` in the contract."""

    def __init__(self, sessions: Sessions) -> None:
        """Prepare.

        Args:
            sessions: The engine's sessions.
        """
        self._sessions = sessions

    async def get(self, queue: QueueRef, ids: Sequence[str]) -> list[Job | None]:
        return await _get(self._sessions.current(), queue, ids)

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
        session = self._sessions.current()
        await session.run("counts", queue)  # raises where there is no such queue
        wanted = [state for state in _ORDER if state in (states or STORED)]
        at = _read_cursor(cursor, f"{','.join(sorted(wanted))}#{tag or ''}")
        found: list[Job] = []
        for _ in range(_MOST_READS):
            part = limit - len(found)
            if tag is not None:
                jobs, at, over = await _tagged(session, queue, tag, part, at)
                jobs = [job for job in jobs if job.state in wanted]
            else:
                jobs, at, over = await _in_state(session, queue, wanted, part, at)
            found += [job for job in jobs if name is None or job.name == name]
            if over:
                return Page(found, None)
            if len(found) == limit:
                break
        return Page(found, as_json(at))

    async def logs(
        self, queue: QueueRef, job_id: str, *, start: int = 0, limit: int = 1000
    ) -> list[str]:
        key = keys_of(queue).logs(job_id)
        connections = self._sessions.current().connections
        lines: list[str] = await connections.call("LRANGE", key, start, start + limit - 1)
        return lines

    async def endings(self, queue: QueueRef, ids: Sequence[str]) -> dict[str, Ending | None]:
        answers = await self._run("endings", queue, *ids)
        return {
            job_id: ending_of(found)
            for job_id, found in zip(ids, answers, strict=True)
            if found is not None
        }

    async def promote(self, queue: QueueRef, ids: Sequence[str]) -> list[str]:
        return list(await self._run("promote", queue, *ids))

    async def retry(self, queue: QueueRef, ids: Sequence[str]) -> list[str]:
        return list(await self._run("retry", queue, *ids))

    async def remove(self, queue: QueueRef, ids: Sequence[str]) -> list[str]:
        return list(await self._run("remove", queue, *ids))

    async def cancel(self, queue: QueueRef, ids: Sequence[str]) -> list[str]:
        error = {"type": ErrorKind.CANCELLED, "message": CANCEL_REASON, "stack": ""}
        told = as_json((ErrorKind.CANCELLED, CANCEL_REASON))
        reason = as_json(CANCEL_REASON)
        return list(
            await self._run("cancel", queue, CANCEL_REASON, as_json(error), told, reason, *ids)
        )

    async def change(
        self,
        queue: QueueRef,
        job_id: str,
        *,
        priority: int | None = None,
        delay_ms: int | None = None,
        data: str | None = None,
    ) -> None:
        changes: tuple[Any, ...] = (
            "" if priority is None else priority,
            "" if delay_ms is None else delay_ms,
            int(data is not None),
            data or "",
        )
        match await self._run("change", queue, job_id, *changes):
            case None:
                return
            case "missing":
                raise no_such_job(queue, job_id)
            case state:
                raise cannot_change(job_id, state)

    async def _run(self, script: str, queue: QueueRef, *args: Any) -> Any:
        return await self._sessions.current().run(script, queue, *args)


async def _get(
    session: Session, queue: QueueRef, ids: Sequence[str], state: str = ""
) -> list[Job | None]:
    """Return jobs by id, in order; with a state, only those that are in it."""
    found: list[Job | None] = []
    for first in range(0, len(ids), _READ_AT_ONCE):
        some = ids[first : first + _READ_AT_ONCE]
        answer = await session.run("get", queue, state, *some)
        found += [None if job is None else job_of(queue, job) for job in answer]
        found += [None] * (len(some) - len(answer))
    return found


async def _in_state(
    session: Session,
    queue: QueueRef,
    states: Sequence[JobState],
    limit: int,
    at: _Cursor,
) -> tuple[list[Job], _Cursor, bool]:
    """Return jobs of the state that is next, where to go on, and whether that was all."""
    if at.place >= len(states):
        return [], at, True
    state = states[at.place]
    if state in _LISTS:
        ids = await session.run("list", queue, state, limit, "-", *at.ids)
        last = _Cursor(at.listing, at.place, "", tuple(ids[: -_REMEMBERED - 1 : -1]))
    else:
        after = (at.score, at.ids[0]) if at.ids else ("",)
        flat = await session.run("list", queue, state, limit, *after)
        ids = flat[::2]
        last = _Cursor(at.listing, at.place, flat[-1] if flat else "", tuple(ids[-1:]))
    jobs = [job for job in await _get(session, queue, ids, state) if job is not None]
    if len(ids) < limit:
        last = _Cursor(at.listing, at.place + 1)
    return jobs, last, last.place == len(states)


async def _tagged(
    session: Session, queue: QueueRef, tag: str, limit: int, at: _Cursor
) -> tuple[list[Job], _Cursor, bool]:
    """Return jobs with a tag in the order in which they were added."""
    key = keys_of(queue).tag(tag)
    first = f"({at.score}" if at.score else "-inf"
    flat = await session.connections.call(
        "ZRANGEBYSCORE", key, first, "+inf", "WITHSCORES", "LIMIT", 0, limit
    )
    ids = flat[::2]
    jobs = await _get(session, queue, ids)
    gone = [job_id for job_id, job in zip(ids, jobs, strict=True) if job is None]
    if gone:  # removed by who does not know of tags
        await session.connections.call("ZREM", key, *gone)
    last = _Cursor(at.listing, 0, flat[-1] if flat else at.score)
    return [job for job in jobs if job is not None], last, len(ids) < limit


class _Cursor(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """Where a listing goes on.

    Attributes:
        listing: Which listing it is of: the states, and the tag.
        place: The number of the state that comes next.
        score: The score of the last job in it, where the state is a set.
        ids: The last jobs, the last one first.
    """

    listing: str
    place: int = 0
    score: str = ""
    ids: tuple[str, ...] = ()


_decode_cursor = msgspec.json.Decoder(_Cursor).decode


def _read_cursor(cursor: str | None, listing: str) -> _Cursor:
    """Return a cursor from a page, or the beginning.

    Raises:
        ValidationError: It is not from this listing.
    """
    if cursor is None:
        return _Cursor(listing)
    try:
        found = _decode_cursor(cursor)
    except (msgspec.MsgspecError, UnicodeEncodeError):
        raise foreign_cursor(cursor, "a page of this queue") from None
    if found.listing != listing or found.place < 0:
        raise foreign_cursor(cursor, "this listing")
    return found
