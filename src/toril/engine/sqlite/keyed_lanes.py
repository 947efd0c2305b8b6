"""Limits by key. The ready jobs of each key form a lane, and lanes take turns."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

from toril.engine.contract.rules import CLOCK_SLACK_MS
from toril.engine.sqlite import queue_rows
from toril.engine.sqlite.queries import load
from toril.engine.sqlite.queue_rows import QueueRow
from toril.engine.sqlite.rates import Meter, left_of, longest_ms, spend
from toril.engine.sqlite.storage.transaction import Transaction, as_json
from toril.model.job import NewJob
from toril.model.job_options import decode_options
from toril.model.limits import KeyLimits

_sql = load("keyed_lanes")

_SORTED_AT_ONCE = 1000
_MICROS = 1000


def assign(tx: Transaction, limits: KeyLimits, base: int, jobs: Sequence[NewJob]) -> None:
    """Assign new jobs to the lanes of their keys.

    Args:
        tx: The transaction.
        limits: The queue's limits by key.
        base: The row id before that of the first job.
        jobs: The jobs.
    """
    rows = [
        (index, limits.key_of(job.data, job.options.metadata)) for index, job in enumerate(jobs)
    ]
    tx.run(_sql["assign"], base=base, rows=as_json(rows))


def assign_all(tx: Transaction, q: QueueRow, limits: KeyLimits) -> None:
    """Assign all existing jobs of a queue to lanes, and give every lane a turn."""
    after = 0
    while found := tx.rows(_sql["bodies"], queue=q.id, after=after, limit=_SORTED_AT_ONCE):
        rows = [
            (seq, limits.key_of(data, decode_options(options).metadata))
            for seq, data, options in found
        ]
        tx.run(_sql["set"], rows=as_json(rows))
        after = found[-1][0]
    tx.run(_sql["rejoin_all"], queue=q.id, turn=queue_rows.tickets(tx, 1) + 1)


def reassign(tx: Transaction, limits: KeyLimits, seq: int, data: str) -> None:
    """Assign one job to a lane again after its payload has changed."""
    options = tx.value(_sql["options"], seq=seq)
    key = limits.key_of(data, decode_options(options).metadata)
    tx.run(_sql["set"], rows=as_json([(seq, key)]))


def leave(tx: Transaction, q: QueueRow) -> None:
    """Remove all lanes, and all jobs from them."""
    tx.run(_sql["leave"], queue=q.id)
    tx.run(_sql["forget"], queue=q.id)


def rested_at(tx: Transaction, q: QueueRow) -> int | None:
    """Return when the first resting lane may continue; None if no lane is resting."""
    found: int | None = tx.value(_sql["rested_at"], queue=q.id)
    return found


def forget_idle(tx: Transaction, q: QueueRow) -> None:
    """Delete lanes that no longer hold any state."""
    rate = None if q.by_key is None else q.by_key.rate
    unit = _MICROS if rate is not None and rate.burst else 1
    most = CLOCK_SLACK_MS + (0 if rate is None else longest_ms(rate))
    tx.run(_sql["forget_idle"], queue=q.id, now=tx.now * unit, most=(tx.now + most) * unit)


class _Lane:
    """A lane during one fetch."""

    __slots__ = ("key", "meter", "resting_until", "taken", "turn")

    def __init__(self, key: str, turn: int, count: int, until: int) -> None:
        self.key = key
        self.turn: int | None = turn
        self.meter = Meter(count, until)
        self.resting_until: int | None = None
        self.taken = 0


def pick(tx: Transaction, q: QueueRow, limits: KeyLimits, room: int) -> list[Sequence[Any]]:
    """Return the next jobs, one from each lane in turn, as rows of the query `next`.

    Args:
        tx: The transaction.
        q: The queue.
        limits: The queue's limits by key.
        room: The maximum number of jobs.
    """
    turn = queue_rows.tickets(tx, 1) + 1
    most = CLOCK_SLACK_MS + (0 if limits.rate is None else limits.rate.per_ms)
    tx.run(_sql["rejoin_rested"], queue=q.id, turn=turn, now=tx.now, most=most)
    fresh = _in_turn(tx, q, room)
    again: deque[_Lane] = deque()
    moved: list[_Lane] = []
    found: list[Sequence[Any]] = []
    while len(found) < room:
        lane = next(fresh, None)
        if lane is None:
            if not again:
                break
            lane = again.popleft()
        row = None
        if not _is_held_back(tx, q, limits, lane):
            row = tx.row(_sql["next"], queue=q.id, key=lane.key, taken=lane.taken)
        if row is None:
            lane.turn = None
            moved.append(lane)
            continue
        found.append(row)
        lane.taken += 1
        if limits.rate is not None and lane.key:
            lane.meter = spend(limits.rate, lane.meter, 1, tx.now)
        again.append(lane)
    base = queue_rows.tickets(tx, len(again))
    for index, lane in enumerate(again, 1):
        lane.turn = base + index
    rows = [(a.key, a.turn, a.resting_until, *a.meter) for a in (*moved, *again)]
    tx.run(_sql["move_on"], queue=q.id, rows=as_json(rows))
    return found


def _in_turn(tx: Transaction, q: QueueRow, limit: int) -> Iterator[_Lane]:
    """Yield the lanes in the order of their turns, reading some at a time."""
    turn, key = -1, ""
    while rows := tx.rows(_sql["in_turn"], queue=q.id, turn=turn, key=key, limit=limit):
        for key, turn, count, until in rows:
            yield _Lane(key, turn, count, until)


def _is_held_back(tx: Transaction, q: QueueRow, limits: KeyLimits, lane: _Lane) -> bool:
    if not lane.key:
        return False
    if limits.concurrency is not None:
        running = tx.value(_sql["running"], queue=q.id, key=lane.key) + lane.taken
        if running >= limits.concurrency:
            return True
    if limits.rate is not None:
        left, until = left_of(limits.rate, lane.meter, tx.now)
        if left < 1:
            lane.resting_until = until
            return True
    return False
