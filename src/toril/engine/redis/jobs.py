"""Jobs: inspection and control."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from toril.engine.contract.jobs import Ending, Page
from toril.engine.contract.rules import CHUNK, cannot_change, foreign_cursor, no_such_job
from toril.engine.redis.job_hash import ending_of, job_of, raw_of
from toril.engine.redis.scripts.keys import keys_of
from toril.engine.redis.scripts.script import as_json
from toril.engine.redis.session import Session, Sessions
from toril.model import codec
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
_CURSOR_IDS = 5  # the last ids of a list page: at least one may still be in the list
_MAX_READS = 50  # reads per page when few jobs match the name
_READ_CHUNK = 500


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
        await session.run("counts", queue)  # raises NotFoundError if the queue does not exist
        wanted = [state for state in _ORDER if state in (states or STORED)]
        at = _read_cursor(cursor, f"{','.join(sorted(wanted))}#{tag or ''}")
        found: list[Job] = []
        for _ in range(_MAX_READS):
            part = limit - len(found)
            if tag is not None:
                jobs, at, is_last = await _tagged(session, queue, tag, part, at)
                jobs = [job for job in jobs if job.state in wanted]
            else:
                jobs, at, is_last = await _in_state(session, queue, wanted, part, at)
            found += [job for job in jobs if name is None or job.name == name]
            if is_last:
                return Page(found, None)
            if len(found) == limit:
                break
        return Page(found, as_json(at))

    async def raw(self, queue: QueueRef, job_id: str) -> dict[str, Any] | None:
        found = await self._run("raw", queue, job_id)
        return raw_of(found) if found else None

    async def logs(
        self, queue: QueueRef, job_id: str, *, start: int = 0, limit: int = 1000
    ) -> list[str]:
        key = keys_of(queue).logs(job_id)
        connections = self._sessions.current().connections
        lines: list[str] = await connections.call("LRANGE", key, start, start + limit - 1)
        return lines

    async def endings(self, queue: QueueRef, ids: Sequence[str]) -> dict[str, Ending | None]:
        answers: list[Any] = []
        while len(answers) < len(ids):
            some = ids[len(answers) : len(answers) + CHUNK]
            answers += await self._run("endings", queue, *some)  # fewer if they are large
        return {
            job_id: ending_of(found)
            for job_id, found in zip(ids, answers, strict=True)
            if found is not None
        }

    async def promote(self, queue: QueueRef, ids: Sequence[str]) -> list[str]:
        return await self._each("promote", queue, ids)

    async def retry(self, queue: QueueRef, ids: Sequence[str]) -> list[str]:
        return await self._each("retry", queue, ids)

    async def remove(self, queue: QueueRef, ids: Sequence[str]) -> list[str]:
        return await self._each("remove", queue, ids)

    async def cancel(self, queue: QueueRef, ids: Sequence[str]) -> list[str]:
        error = {"type": ErrorKind.CANCELLED, "message": CANCEL_REASON, "stack": ""}
        event_error = as_json((ErrorKind.CANCELLED, CANCEL_REASON))
        traceback = as_json(CANCEL_REASON)
        args = (CANCEL_REASON, as_json(error), event_error, traceback)
        return await self._each("cancel", queue, ids, *args)

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

    async def _each(
        self, script: str, queue: QueueRef, ids: Sequence[str], *args: Any
    ) -> list[str]:
        """Run a script that changes jobs, in steps; return the ids of those that it changed.

        The script returns how many of the ids it went through. Finding a job in a long list takes
        a while, so a step may end early.
        """
        changed: list[str] = []
        done = 0
        while done < len(ids):
            some = ids[done : done + CHUNK]
            went, *found = await self._run(script, queue, *args, *some)
            changed += found
            done += went
        return changed

    async def _run(self, script: str, queue: QueueRef, *args: Any) -> Any:
        return await self._sessions.current().run(script, queue, *args)


async def _get(
    session: Session, queue: QueueRef, ids: Sequence[str], state: str = ""
) -> list[Job | None]:
    """Return jobs by id, in order; with a state, None for jobs in other states."""
    found: list[Job | None] = []
    while len(found) < len(ids):
        some = ids[len(found) : len(found) + _READ_CHUNK]
        answer = await session.run("get", queue, state, *some)  # fewer if they are large
        found += [None if job is None else job_of(queue, job) for job in answer]
    return found


async def _in_state(
    session: Session,
    queue: QueueRef,
    states: Sequence[JobState],
    limit: int,
    at: _Cursor,
) -> tuple[list[Job], _Cursor, bool]:
    """Return jobs in the cursor's state, the next cursor, and whether the listing is complete."""
    if at.place >= len(states):
        return [], at, True
    state = states[at.place]
    if state in _LISTS:
        ids = await session.run("list", queue, state, limit, "-", *at.ids)
        last = _Cursor(at.listing, at.place, "", tuple(ids[: -_CURSOR_IDS - 1 : -1]))
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
    """Return jobs with a tag in the order in which they were added; see `_in_state`."""
    key = keys_of(queue).tag(tag)
    first = f"({at.score}" if at.score else "-inf"
    flat = await session.connections.call(
        "ZRANGEBYSCORE", key, first, "+inf", "WITHSCORES", "LIMIT", 0, limit
    )
    ids = flat[::2]
    jobs = await _get(session, queue, ids)
    gone = [job_id for job_id, job in zip(ids, jobs, strict=True) if job is None]
    if gone:  # removed by BullMQ, which does not know tags
        await session.connections.call("ZREM", key, *gone)
    last = _Cursor(at.listing, 0, flat[-1] if flat else at.score)
    return [job for job in jobs if job is not None], last, len(ids) < limit


class _Cursor(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """Where a listing continues.

    Attributes:
        listing: The listing that it belongs to: states and tag.
        place: The index of the state to read from.
        score: The score of the last job returned, if the state is a sorted set.
        ids: The last ids returned, newest first.
    """

    listing: str
    place: int = 0
    score: str = ""
    ids: tuple[str, ...] = ()


def _read_cursor(cursor: str | None, listing: str) -> _Cursor:
    """Decode a page's cursor; None starts at the beginning.

    Raises:
        ValidationError: The cursor does not belong to this listing.
    """
    if cursor is None:
        return _Cursor(listing)
    try:
        found: _Cursor = codec.decode_as(cursor, _Cursor)
    except ValueError:
        raise foreign_cursor(cursor, "a page of this queue") from None
    if found.listing != listing or found.place < 0:
        raise foreign_cursor(cursor, "this listing")
    return found
