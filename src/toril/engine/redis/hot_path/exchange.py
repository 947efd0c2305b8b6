"""The arguments and answers of lua/exchange.lua."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from toril.engine.contract.hot_path import Exchange, Fetch, Refusal, WakeToken
from toril.engine.redis.hot_path.add import key_of, placing
from toril.engine.redis.scripts.keys import keys_of
from toril.engine.redis.scripts.script import as_json
from toril.model.durations import LATEST_MS
from toril.model.job import AttemptError, Lease, QueueRef
from toril.model.options import Keep
from toril.model.settlement import (
    Complete,
    Fail,
    FollowUp,
    Release,
    Retry,
    Settlement,
    follow_ups_of,
)

_REFUSALS = {
    -1: Refusal.MISSING,
    -2: Refusal.LEASE_LOST,
    -4: Refusal.OPEN_CHILDREN,
    -9: Refusal.FAILED_CHILDREN,
}
_KEPT_BY_REDIS = WakeToken(0)  # a marker stays until a client takes it
_NO_RULE = ("", 0, 0, 0)


class Packed(NamedTuple):
    """Settlements as arguments of the script.

    Attributes:
        settlements: The settlements' arguments: runs of one kind with the same retention.
        follow_ups: The arguments of their follow-ups.
        order: The index of each settlement among the arguments, in the arguments' order.
        duplicates: Maps each duplicate settlement's index to the index of the first for the same
            lease.
    """

    settlements: list[Any]
    follow_ups: list[Any]
    order: list[int]
    duplicates: dict[int, int]


def pack(settlements: Sequence[Settlement]) -> Packed:
    """Return settlements as arguments. Only the first settlement for a lease is sent."""
    runs: dict[tuple[type[Settlement], Keep | None], list[int]] = {}
    first: dict[tuple[str, str], int] = {}
    duplicates: dict[int, int] = {}
    has_follow_ups = False
    for index, settlement in enumerate(settlements):
        key = (settlement.lease.id, settlement.lease.token)
        if first.setdefault(key, index) != index:
            duplicates[index] = first[key]
            continue
        keep = None
        if not isinstance(settlement, Retry | Release):
            keep = settlement.keep
            has_follow_ups = has_follow_ups or bool(settlement.then)
        runs.setdefault((type(settlement), keep), []).append(index)
    out: list[Any] = []
    order: list[int] = []
    for (kind, keep), indexes in runs.items():
        out += (_NAMES[kind], len(indexes), *_retention(keep))
        for index in indexes:
            out += _fields(settlements[index])
        order += indexes
    follow_ups = _pack_follow_ups(settlements, order) if has_follow_ups else []
    return Packed(out, follow_ups, order, duplicates)


def _pack_follow_ups(settlements: Sequence[Settlement], order: Sequence[int]) -> list[Any]:
    """Return the follow-ups' arguments in the order of their settlements.

    Args:
        settlements: The settlements.
        order: See `Packed`. Each follow-up carries the number of its settlement in it, from 1.
    """
    numbers = {index: number for number, index in enumerate(order, 1)}
    out: list[Any] = []
    for index, number in sorted(numbers.items()):
        for follow_up in follow_ups_of([settlements[index]]):
            out += (number, *_follow_up(follow_up))
    return out


def _follow_up(follow_up: FollowUp) -> tuple[Any, ...]:
    job = follow_up.job
    options = job.options
    rule = options.deduplication
    return (
        keys_of(follow_up.queue).base,
        job.id,
        job.name,
        job.data,
        job.options_json,
        *placing(options),
        int(follow_up.with_errors),
        *(
            _NO_RULE
            if rule is None
            else (key_of(job), rule.ttl_ms or 0, int(rule.extend), int(rule.replace))
        ),
        len(options.tags),
        *options.tags,
    )


def _fields(settlement: Settlement) -> tuple[Any, ...]:
    lease = settlement.lease
    match settlement:
        case Complete():
            # For a job without ties, this spares the script a read of the job's hash.
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


def _retention(keep: Keep | None) -> tuple[Any, Any]:
    if keep is None:
        return "", ""
    return "" if keep.count is None else keep.count, "" if keep.age_ms is None else keep.age_ms


def _error(error: AttemptError) -> tuple[str, str, str, str]:
    """Return an error's arguments: reason and traceback for BullMQ, error, error for events."""
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
    queue: QueueRef, answer: Any, order: Sequence[int], duplicates: Mapping[int, int]
) -> Exchange:
    """Return the answer to an exchange.

    Args:
        queue: The queue.
        answer: What the script returned.
        order: See `Packed`.
        duplicates: See `Packed`.
    """
    now, refused, leases, due, limited, *_ = answer
    results: list[Refusal | None] = [None] * (len(order) + len(duplicates))
    for sent, code in zip(refused[::2], refused[1::2], strict=True):
        results[order[sent - 1]] = _REFUSALS[code]
    for index, before in duplicates.items():
        results[index] = results[before] or Refusal.LEASE_LOST
    taken = [
        _lease(queue, now, job_id, token, fields)
        for job_id, token, fields in zip(leases[::3], leases[1::3], leases[2::3], strict=True)
    ]
    if due is not None and not 0 <= due <= LATEST_MS:  # a delay that no program can wait for
        due = LATEST_MS
    return Exchange(results, taken or (), due, limited, _KEPT_BY_REDIS)


def _lease(queue: QueueRef, now: int, job_id: str, token: str, fields: Sequence[Any]) -> Lease:
    """Return a lease, from the fields that FIELDS in lua/exchange.lua lists."""
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
        int(made or made_before or 0),  # older BullMQs store attemptsMade
        int(starts or 0),
        int(stalls or 0),
        int(priority or 0),
        failure,
        any(fields[11:]),
    )


def fetch_args(settlements: Sequence[Settlement], fetch: Fetch | None) -> tuple[str, int, int]:
    """Return the asking worker's id, how many jobs it wants (-1: no fetch), and the lease in ms."""
    if fetch is not None:
        return fetch.worker, fetch.limit, fetch.lease_ms
    if settlements:
        return settlements[0].lease.token.rpartition(":")[0], -1, 0
    return "", -1, 0
