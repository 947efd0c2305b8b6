"""The hot path on both sides."""

from __future__ import annotations

import json
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from tests.differential.comparing import Comparison, Difference
from tests.differential.jobs import (
    IDS,
    first_in_priority,
    keeps_some,
    kinds,
    options,
    ours_of,
    result_of,
    settlement,
    theirs_of,
)
from tests.differential.keyspace import KeySpace, read
from tests.differential.lab import PREFIX, QUEUE, Lab
from tests.differential.oracle import Taken
from toril.engine.base import Fetch, Note
from toril.model.codec import decode
from toril.model.job import Lease, NewJob
from toril.model.settlement import Settlement

T = TypeVar("T")

LEASE_MS = 1_000


@dataclass(frozen=True)
class Held:
    """A job that a worker of each side holds."""

    lease: Lease
    taken: Taken


def has(*keys: str) -> Any:
    """Let a rule run only while something stands in one of the keys."""
    return precondition(lambda self: any(self.space.members(key) for key in keys))


class Working(RuleBasedStateMachine):
    """What producers and workers do; it compares after each step.

    Attributes:
        lab: Where.
        differences: What may differ.
        left_out: What is passed by, and why.
    """

    lab: Lab
    differences: Sequence[Difference]
    left_out: Mapping[str, str]

    def __init__(self) -> None:
        super().__init__()
        self.lab.theirs.flushall()
        self.bullmq = self.lab.bullmq
        self.engine = self.lab.engine()
        self.keeper = self.engine.keeper()
        self.held: list[Held] = []
        self.comparison = Comparison(
            [
                *self.differences,
                *(Difference("step", name, why) for name, why in self.left_out.items()),
            ]
        )
        self.space = KeySpace({}, {}, {}, [])
        self.open()

    def teardown(self) -> None:
        self.keeper.close()
        self.run(self.engine.close())

    def run(self, call: Coroutine[Any, Any, T]) -> T:
        return self.lab.runner.run(call)

    def open(self) -> None:
        self.run(self.engine.register(QUEUE))
        self.run(self.bullmq.open())
        self.compare("open")

    def compare(self, step: str) -> None:
        ours, theirs = read(self.lab.ours, PREFIX), read(self.lab.theirs, PREFIX)
        differing = self.comparison.differing(ours, theirs, step)
        assert not differing, "\n".join([f"after {step}:", *differing])
        self.space = theirs

    def some(self, data: st.DataObject, *keys: str) -> list[str]:
        """Draw jobs that stand in some of the queue's lists and sets."""
        there = sorted({member for key in keys for member in self.space.members(key)})
        return data.draw(st.lists(st.sampled_from(there), min_size=1, max_size=3, unique=True))

    def stalled(self) -> list[str]:
        """Return the jobs that run without a lock, the newest first."""
        return [
            one for one in self.space.members("active") if f"{one}:lock" not in self.space.kinds
        ]

    # Adding

    @rule(jobs=st.lists(st.tuples(st.sampled_from(IDS), options), min_size=1, max_size=3))
    def add(self, jobs: list[tuple[str, dict[str, Any]]]) -> None:
        new = [ours_of(one, args) for one, args in jobs]
        if "lifo with a priority" in self.left_out:
            new = [one for one in new if not first_in_priority(one)]
        new = [one for one in new if not self.replaces_another(one)]
        if "replace what is not delayed" in self.left_out:
            new = [one for one in new if not self.replaces_none(one)]
        if new:
            self.put(new)

    def replaces_none(self, new: NewJob) -> bool:
        """Return whether a job that holds its deduplication key is there, but not delayed."""
        holder = self.replaced_by(new)
        return holder is not None and holder not in self.space.members("delayed")

    def replaces_another(self, new: NewJob) -> bool:
        """Return whether who holds its key is gone, so that another job may get the id."""
        holder, rule = self.replaced_by(new), new.options.deduplication
        if holder is None or rule is None:
            return False
        return self.space.jobs().get(holder, {}).get("deid") != rule.key

    def replaced_by(self, new: NewJob) -> str | None:
        rule = new.options.deduplication
        if rule is None or not rule.replace:
            return None
        found: str | None = self.space.contents.get(f"de:{rule.key}")
        return found

    @rule(ids=st.lists(st.sampled_from(IDS), min_size=1, max_size=4))
    def add_plain(self, ids: list[str]) -> None:
        self.put([ours_of(one, {}) for one in ids])

    def put(self, new: Sequence[NewJob]) -> None:
        self.run(self.engine.add(QUEUE, new))
        self.run(self.bullmq.add([(one.name, decode(one.data), theirs_of(one)) for one in new]))
        self.compare("add")

    # Working

    @has("wait", "prioritized", "delayed")
    @rule(limit=st.integers(1, 3), lease_ms=st.sampled_from([LEASE_MS, 5 * LEASE_MS]))
    def fetch(self, limit: int, lease_ms: int) -> None:
        limit = self.at_most(limit)
        self.took(self.exchange([], limit, lease_ms), limit, lease_ms)
        self.compare("fetch")

    def at_most(self, limit: int) -> int:
        """Return how many to take: one by one while a failure is due under a rate limit."""
        deferred = any("defa" in fields for fields in self.space.jobs().values())
        left_out = "a failure that is due, and the rate" in self.left_out
        return 1 if left_out and deferred and "max" in self.space.contents["meta"] else limit

    def exchange(
        self, settlements: Sequence[Settlement], limit: int | None, lease_ms: int = LEASE_MS
    ) -> Any:
        wanted = None if limit is None else Fetch(limit, "worker", lease_ms)
        return self.run(self.engine.exchange(QUEUE, settlements, wanted))

    def took(self, answer: Any, limit: int, lease_ms: int, before: Sequence[Taken] = ()) -> None:
        """Let BullMQ take as many, and pair them."""
        token = answer.leases[0].token if answer.leases else "worker:none"
        taken = [*before, *self.run(self.bullmq.fetch(limit - len(before), token, lease_ms))]
        assert [lease.id for lease in answer.leases] == [one.job.id for one in taken], self.space
        self.mend("the counter of priorities", "pc")
        self.held += [Held(*pair) for pair in zip(answer.leases, taken, strict=True)]

    @has("wait", "prioritized", "delayed")
    @rule(data=st.data(), limit=st.integers(1, 3), kind=kinds)
    def work(self, data: st.DataObject, limit: int, kind: str) -> None:
        self.fetch(limit, LEASE_MS)
        if self.held:
            self.settle_some(data, kind, 0, None)

    @precondition(lambda self: self.held)
    @rule(data=st.data(), kind=kinds, delay_ms=st.sampled_from([0, 0, 100, 500]))
    def settle(self, data: st.DataObject, kind: str, delay_ms: int) -> None:
        self.settle_some(data, kind, delay_ms, None)

    @precondition(lambda self: self.held)
    @rule(
        data=st.data(),
        kind=kinds,
        delay_ms=st.sampled_from([0, 0, 100, 500]),
        limit=st.integers(1, 2),
    )
    def settle_and_fetch(self, data: st.DataObject, kind: str, delay_ms: int, limit: int) -> None:
        self.settle_some(data, kind, delay_ms, limit)

    def settle_some(self, data: st.DataObject, kind: str, delay_ms: int, limit: int | None) -> None:
        limit = limit and self.at_most(limit)
        chosen = data.draw(
            st.lists(st.sampled_from(self.held[-4:]), min_size=1, max_size=2, unique=True)
        )
        if "run a lifo job again" in self.left_out and kind == "retry" and not delay_ms:
            chosen = [one for one in chosen if not one.lease.options.lifo]
        if "refused, and yet trimmed" in self.left_out:
            chosen = [one for one in chosen if self.holds(one) or not keeps_some(one.lease)]
        if not chosen:
            return
        if kind == "retry" and not delay_ms:
            self.exchange([], 0)
        self.finish(chosen, kind, delay_ms, limit)
        gone = {id(one) for one in chosen[:1]}  # of two the second stays, to be refused
        self.held = [one for one in self.held if id(one) not in gone]

    def finish(self, chosen: Sequence[Held], kind: str, delay_ms: int, limit: int | None) -> None:
        settlements = [settlement(kind, one.lease, delay_ms) for one in chosen]
        answer = self.exchange(settlements, limit)
        runs: dict[Any, list[int]] = {}
        for place, one in enumerate(settlements):
            runs.setdefault(getattr(one, "keep", None), []).append(place)
        order = [place for run in runs.values() for place in run]
        if kind == "release":
            order.reverse()
        done = [False] * len(chosen)
        following: list[Taken] = []
        for place in order:
            taken = chosen[place].taken
            if kind == "complete" and limit and len(order) == 1:
                token = answer.leases[0].token if answer.leases else taken.token
                found = self.run(
                    self.bullmq.complete_and_fetch(taken, result_of(taken.job.id), token, LEASE_MS)
                )
                done[place], following = found is not None, found or []
            else:
                done[place] = self.run(self.settle_theirs(kind, taken, delay_ms))
        assert [result is None for result in answer.results] == done
        if limit is not None:
            self.took(answer, limit, LEASE_MS, following)
        self.compare(kind if limit is None else f"{kind} and fetch")

    def mend(self, what: str, key: str) -> None:
        """Where a difference is left out, go on with BullMQ's content of a key."""
        if what in self.left_out:
            found = self.lab.theirs.get(PREFIX + key)
            if found is None:
                self.lab.ours.delete(PREFIX + key)
            else:
                self.lab.ours.set(PREFIX + key, found)

    def settle_theirs(self, kind: str, taken: Taken, delay_ms: int) -> Coroutine[Any, Any, bool]:
        match kind:
            case "complete":
                return self.bullmq.complete(taken, result_of(taken.job.id))
            case "fail":
                return self.bullmq.fail(taken, "it did not work", "the traceback")
            case "retry":
                return self.bullmq.retry(taken, "it did not work", "the traceback", delay_ms)
            case _:
                return self.bullmq.release(taken, delay_ms)

    @precondition(lambda self: self.held)
    @rule(data=st.data(), lease_ms=st.sampled_from([LEASE_MS, 5 * LEASE_MS]))
    def extend(self, data: st.DataObject, lease_ms: int) -> None:
        one = data.draw(st.sampled_from(self.held))
        lost = self.keeper.extend([one.lease], lease_ms)
        assert (not lost) == self.run(self.bullmq.extend(one.taken, lease_ms))
        self.compare("extend")

    @precondition(lambda self: self.held)
    @rule(
        data=st.data(),
        progress=st.sampled_from([50, {"done": "half"}, None]),
        lines=st.integers(0, 2),
    )
    def note(self, data: st.DataObject, progress: Any, lines: int) -> None:
        one = data.draw(st.sampled_from(self.held))
        if not self.holds(one):
            return
        told = ["a line"] * lines
        as_json = None if progress is None else json.dumps(progress)
        self.run(self.engine.note(QUEUE, [Note(one.lease, as_json, told)]))
        if progress is not None:
            self.run(self.bullmq.progress(one.lease.id, progress))
        for line in told:
            self.run(self.bullmq.log(one.lease.id, line))
        self.compare("note")

    def holds(self, one: Held) -> bool:
        return self.lab.theirs.get(f"{PREFIX}{one.lease.id}:lock") == one.taken.token

    @has("active")
    @rule(max_stalls=st.integers(0, 1))
    def rescue(self, max_stalls: int) -> None:
        stalled = self.stalled()
        jobs = self.space.jobs()
        first = any(jobs[one]["priority"] != "0" for one in stalled)
        if first and "stalled with a priority" in self.left_out:
            return
        found = self.run(self.engine.rescue(QUEUE, max_stalls))
        assert {one.id for one in found} == set(stalled)
        self.run(self.bullmq.rescue(stalled, max_stalls))
        self.compare("rescue")

    @precondition(lambda self: self.space.jobs())
    @rule(ms=st.sampled_from([1, 100, 500, 1_000, 3_000, 61_000]))
    def pass_time(self, ms: int) -> None:
        if self.space.left.get("limiter") == ms:
            ms += 1
        self.lab.pass_time(ms)
        self.compare("pass time")
