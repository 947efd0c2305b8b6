"""What the script `exchange` is told of settlements, and what it answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from toril.engine.base import Exchange, Fetch, Refusal
from toril.engine.redis.scripts.packing import as_json
from toril.model.job import AttemptError, Lease, QueueRef
from toril.model.options import Keep
from toril.model.settlement import Complete, Fail, Release, Retry, Settlement

_REFUSALS = {
    -1: Refusal.MISSING,
    -2: Refusal.LEASE_LOST,
    -4: Refusal.OPEN_CHILDREN,
    -9: Refusal.FAILED_CHILDREN,
}


def pack(settlements: Sequence[Settlement]) -> tuple[list[Any], list[int], dict[int, int]]:
    """Return settlements as arguments: runs of one kind that keep alike.

    Args:
        settlements: The settlements. Of two for one lease the first counts.

    Returns:
        The arguments; the place of each settlement that is in them, in their order; and for
        each that is not the place of the one before it.
    """
    runs: dict[tuple[type[Settlement], Keep | None], list[int]] = {}
    first: dict[tuple[str, str], int] = {}
    again: dict[int, int] = {}
    for place, settlement in enumerate(settlements):
        key = (settlement.lease.id, settlement.lease.token)
        if first.setdefault(key, place) != place:
            again[place] = first[key]
            continue
        keep = None if isinstance(settlement, Retry | Release) else settlement.keep
        runs.setdefault((type(settlement), keep), []).append(place)
    out: list[Any] = []
    order: list[int] = []
    for (kind, keep), places in runs.items():
        out += (_NAMES[kind], len(places), *_kept(keep))
        for place in places:
            out += _fields(settlements[place])
        order += places
    return out, order, again


def _fields(settlement: Settlement) -> tuple[Any, ...]:
    lease = settlement.lease
    match settlement:
        case Complete():
            # Of a job that stands for itself the script need not look up what the lease tells.
            known = ("", "") if lease.is_tied else (lease.attempts_made, lease.started_ms)
            return lease.id, lease.token, settlement.result_json or "null", *known
        case Fail():
            return lease.id, lease.token, *_error(settlement.error), lease.options.attempts
        case Retry():
            return lease.id, lease.token, *_error(settlement.error), settlement.delay_ms
        case Release():
            return lease.id, lease.token, settlement.delay_ms


_NAMES: dict[type[Settlement], str] = {
    Complete: "complete",
    Fail: "fail",
    Retry: "retry",
    Release: "release",
}


def _kept(keep: Keep | None) -> tuple[Any, Any]:
    if keep is None:
        return "", ""
    return "" if keep.count is None else keep.count, "" if keep.age_ms is None else keep.age_ms


def _error(error: AttemptError) -> tuple[str, str, str, str]:
    """Return a reason, a traceback and an error for BullMQ, for us, and for followers."""
    own = {
        "attempt": error.attempt,
        "type": error.type,
        "message": error.message,
        "stack": error.stack,
    }
    return (
        error.message,
        as_json(error.stack or f"{error.type}: {error.message}"),
        as_json(own),
        as_json((error.type, error.message)),
    )


def unpack(
    queue: QueueRef, answer: Any, order: Sequence[int], again: Mapping[int, int]
) -> Exchange:
    """Return what became of an exchange.

    Args:
        queue: The queue.
        answer: What the script returned.
        order: The places of the settlements that were sent.
        again: Of those for a lease that another was for, the place of that.
    """
    now, refused, leases, due, limited, *_ = answer
    results: list[Refusal | None] = [None] * (len(order) + len(again))
    for sent, code in zip(refused[::2], refused[1::2], strict=True):
        results[order[sent - 1]] = _REFUSALS[code]
    for place, before in again.items():
        results[place] = results[before] or Refusal.LEASE_LOST
    taken = [
        _lease(queue, now, job_id, token, fields)
        for job_id, token, fields in zip(leases[::3], leases[1::3], leases[2::3], strict=True)
    ]
    return Exchange(results, taken or (), due, limited, 0)


def _lease(queue: QueueRef, now: int, job_id: str, token: str, fields: Sequence[Any]) -> Lease:
    """Return a lease, from the fields that `read` in lua/exchange.lua names."""
    name, data, options, added, made, made_before, starts, stalls, priority, failure, at = fields[
        :11
    ]
    return Lease(
        queue,
        job_id,
        token,
        name,
        data or "null",
        options or "{}",
        int(added or now),
        int(at or now),
        int(made or made_before or 0),  # the second name is that of older BullMQs
        int(starts or 0),
        int(stalls or 0),
        int(priority or 0),
        failure,
        any(fields[11:]),
    )


def asker_of(settlements: Sequence[Settlement], fetch: Fetch | None) -> tuple[str, int, int]:
    """Return who asks, for how many jobs, and how long it would hold them."""
    if fetch is not None:
        return fetch.worker, fetch.limit, fetch.lease_ms
    if settlements:
        return settlements[0].lease.token.rpartition(":")[0], -1, 0
    return "", -1, 0
