"""Random operations on an engine and on a plain model of the contract, compared after each.

Where the contract leaves an order open (of jobs that finished in the same millisecond, or
whose leases ran out in the same), the model checks what is promised and takes the rest from
the engine's answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, Protocol, TypeVar

import msgspec
import pytest
from hypothesis import assume, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.conformance.support import QUEUE, ManualClock, Result, error, job
from tests.redis_server import RedisServer
from toril.engine.contract.engine import Engine
from toril.engine.contract.hot_path import AddStatus, Batch, Exchange, Fetch, Refusal
from toril.engine.redis import RedisEngine
from toril.engine.redis.connection.endpoint import parse
from toril.engine.sqlite import SqliteEngine
from toril.errors import ConflictError
from toril.model.job import Job, Lease, NewJob
from toril.model.limits import Limits
from toril.model.options import Deduplication, Keep
from toril.model.outcome import CANCEL_REASON, STALL_REASON
from toril.model.settlement import Complete, Fail, FollowUp, Release, Retry, Settlement
from toril.model.state import FINAL, INITIAL, READY, STORED, TRANSITIONS, JobState

T = TypeVar("T")

ACTIVE, DELAYED, FAILED = JobState.ACTIVE, JobState.DELAYED, JobState.FAILED
IDS = [f"job-{letter}" for letter in "abcdefgh"]

some_ids = st.lists(st.sampled_from(IDS), min_size=1, max_size=4, unique=True)
priorities = st.sampled_from([0, 0, 1, 2, 5])
delays = st.sampled_from([0, 100, 500, 3_000])
leases_ms = st.sampled_from([400, 2_000])
fetches = st.one_of(st.none(), st.integers(0, 4))

RULES: list[Deduplication | None] = [
    None,
    None,
    None,
    Deduplication.simple("one"),
    Deduplication.simple("two"),
    Deduplication.throttle(1, "throttled"),
    Deduplication.debounce(1, "debounced"),
]

pytestmark = pytest.mark.timeout(600)  # hundreds of examples, on a machine that may be busy


@dataclass
class Record:
    """What the contract says is known of a job."""

    id: str
    state: JobState
    priority: int
    created: int
    place: int = 0
    due: int | None = None
    finished: int | None = None
    token: str | None = None
    lease_until: int = 0
    made: int = 0
    started: int = 0
    stalls: int = 0
    cancelled: bool = False
    deferred: str | None = None
    key: str | None = None
    lifo: bool = False


class Model:
    """A queue as a dict."""

    def __init__(self, late_ms: int, *, front_by_id: bool) -> None:
        self.late_ms = late_ms
        self.front_by_id = front_by_id
        self.now = 0
        self.jobs: dict[str, Record] = {}
        self.keys: dict[str, tuple[str, int | None]] = {}
        self.paused = False
        self.concurrency = 1_000
        self._back = count(1)
        self._front = count(-1, -1)

    def move(self, record: Record, state: JobState) -> None:
        if record.state is not state:
            assert state in TRANSITIONS[record.state], f"{record.state} → {state}"
            record.state = state

    def in_state(self, *states: JobState) -> list[Record]:
        return [record for record in self.jobs.values() if record.state in states]

    def line(self) -> list[Record]:
        """Return the jobs that are ready, next to run first."""
        return sorted(self.in_state(*READY), key=self._turn)

    def _turn(self, record: Record) -> tuple[int, int, str]:
        if self.front_by_id and record.priority and record.place < 0:
            return record.priority, -1, record.id
        return record.priority, record.place, ""

    # Adding

    def add(self, new: NewJob) -> Result:
        if new.id in self.jobs:
            return Result(new.id, AddStatus.DUPLICATE)
        rule = new.options.deduplication
        key = None if rule is None else rule.key
        if rule is not None and key is not None:
            owner = self._owner(key)
            expires = None if rule.ttl_ms is None else self.now + rule.ttl_ms
            if owner is not None:
                there = self.jobs.get(owner)
                replaces = there is not None and there.key == key and there.state is DELAYED
                if not rule.replace:
                    if rule.extend:
                        self.keys[key] = (owner, expires)
                    return Result(owner, AddStatus.DEDUPLICATED)
                if replaces:
                    del self.jobs[owner]
            self.keys[key] = (new.id, expires)
        self._create(new, key)
        return Result(new.id, AddStatus.CREATED)

    def _owner(self, key: str) -> str | None:
        owner, expires = self.keys.get(key, (None, None))
        over = expires is not None and expires + self.late_ms <= self.now
        return None if over else owner

    def _create(self, new: NewJob, key: str | None) -> None:
        options = new.options
        record = Record(
            new.id, JobState.WAITING, options.priority, self.now, key=key, lifo=options.lifo
        )
        self.jobs[new.id] = record
        if options.delay_ms:
            record.state, record.due = DELAYED, self.now + options.delay_ms
        else:
            record.state = self._ready_state(record)
            record.place = next(self._front) if options.lifo else next(self._back)

    # Steps

    @staticmethod
    def _ready_state(record: Record) -> JobState:
        return JobState.PRIORITIZED if record.priority else JobState.WAITING

    def ready(self, record: Record, *, front: bool = False) -> None:
        self.move(record, self._ready_state(record))
        record.due = None
        record.place = next(self._front) if front else next(self._back)

    def again(self, record: Record, delay_ms: int = 0) -> None:
        self.ready(record, front=record.lifo and not record.priority and not delay_ms)

    def delay(self, record: Record, delay_ms: int) -> None:
        self.move(record, DELAYED)
        record.due = self.now + delay_ms

    def finish(self, record: Record, state: JobState) -> None:
        self.move(record, state)
        record.finished, record.due = self.now, None
        record.token = None
        if record.key is not None and self.keys.get(record.key) == (record.id, None):
            del self.keys[record.key]

    def remove(self, record: Record) -> None:
        """Remove a job by hand, which frees its key."""
        del self.jobs[record.id]
        if record.key is not None and self.keys.get(record.key, ("", 0))[0] == record.id:
            del self.keys[record.key]

    def holds(self, lease: Lease) -> bool:
        record = self.jobs.get(lease.id)
        return record is not None and record.token == lease.token and self.until(record) > self.now

    def may_renew(self, lease: Lease) -> bool:
        """Whether nobody took the job since, even if the lease ran out."""
        record = self.jobs.get(lease.id)
        return record is not None and record.token == lease.token

    def until(self, record: Record) -> int:
        return record.lease_until + self.late_ms

    def promote_due(self) -> None:
        due = [r for r in self.in_state(DELAYED) if r.due is not None and r.due <= self.now]
        for record in sorted(due, key=lambda r: r.due or 0):
            self.ready(record)

    def take(self, limit: int) -> list[Record]:
        room = min(limit, self.concurrency - len(self.in_state(ACTIVE)))
        return [] if self.paused else self.line()[: max(room, 0)]

    def start(self, record: Record, lease: Lease, lease_ms: int) -> None:
        self.move(record, ACTIVE)
        record.token, record.lease_until = lease.token, self.now + lease_ms
        record.started += 1

    # Settling

    def settle(self, settlements: Sequence[Settlement]) -> list[Refusal | None]:
        results: list[Refusal | None] = []
        released: list[Record] = []
        for settlement in settlements:
            lease = settlement.lease
            if not self.holds(lease):
                there = lease.id in self.jobs
                results.append(Refusal.LEASE_LOST if there else Refusal.MISSING)
                continue
            results.append(None)
            record = self.jobs[lease.id]
            record.token = None
            self._settle_one(record, settlement, released)
        for record in reversed(released):
            self.ready(record, front=True)
        for settlement, refusal in zip(settlements, results, strict=True):
            if refusal is None and isinstance(settlement, Complete | Fail):
                for follow_up in settlement.then:
                    self.add(follow_up.job)
        return results

    def _settle_one(self, record: Record, settlement: Settlement, released: list[Record]) -> None:
        match settlement:
            case Complete() | Fail():
                complete = isinstance(settlement, Complete)
                self.finish(record, JobState.COMPLETED if complete else FAILED)
                record.made += 1
                record.cancelled, record.deferred = False, None
            case Retry(delay_ms=delay_ms) | Release(delay_ms=delay_ms):
                gave_back = isinstance(settlement, Release)
                record.made += not gave_back
                if record.cancelled:
                    record.deferred = CANCEL_REASON
                if delay_ms and not record.cancelled:
                    self.delay(record, delay_ms)
                elif gave_back:
                    released.append(record)
                else:
                    self.again(record, delay_ms)


class MovableClock(Protocol):
    """A store's clock that stands still until it is moved."""

    def advance(self, ms: int) -> None: ...

    def wall_ms(self) -> int: ...


class ServerClock:
    """A server's clock, seen from outside."""

    def __init__(self, server: RedisServer) -> None:
        self._server = server

    def advance(self, ms: int) -> None:
        self._server.pass_time(ms)

    def wall_ms(self) -> int:
        return self._server.now_ms


class EngineMachine(RuleBasedStateMachine):
    """Does the same to an engine and to the model."""

    late_ms = 0
    """How much later than its time a lease, or a key, runs out in the store."""

    front_by_id = False
    """Whether jobs that were put first in one priority come by their ids."""

    def make_engine(self) -> tuple[Engine, MovableClock]:
        clock = ManualClock()
        return SqliteEngine(None, clock=clock), clock

    def __init__(self) -> None:
        super().__init__()
        self.engine, self.clock = self.make_engine()
        self.keeper = self.engine.keeper()
        self.runner = asyncio.Runner()
        self.model = Model(self.late_ms, front_by_id=self.front_by_id)
        self.model.now = self.clock.wall_ms()
        self.leases: list[Lease] = []
        self.due_times: set[int] = set()
        self.sequence = 0
        self.last_batch: list[NewJob] = []
        self.run(self.engine.queues.register, QUEUE)

    def run(self, call: Callable[..., Awaitable[T]], *args: Any, **kwargs: Any) -> T:
        async def made() -> T:
            return await call(*args, **kwargs)

        return self.runner.run(made())

    def teardown(self) -> None:
        self.keeper.close()
        self.run(self.engine.close)
        self.runner.close()

    def tick(self, ms: int = 1) -> None:
        """Let time pass: each step has a millisecond of its own."""
        self.clock.advance(ms)
        self.model.now = self.clock.wall_ms()

    def own_delay(self, delay_ms: int) -> int:
        """Return a delay near the one that is given, after which nothing else is due."""
        while delay_ms and self.model.now + delay_ms in self.due_times:
            delay_ms += 1
        self.due_times.add(self.model.now + delay_ms)
        return delay_ms

    def records(self, ids: Sequence[str], *states: JobState) -> dict[str, Record]:
        found = {i: self.model.jobs[i] for i in ids if i in self.model.jobs}
        return {i: record for i, record in found.items() if record.state in states}

    # Adding

    def new_job(
        self,
        job_id: str,
        priority: int,
        delay_ms: int,
        deduplication: Deduplication | None,
        *,
        lifo: bool,
    ) -> NewJob:
        args: dict[str, Any] = {"priority": priority}
        if delay_ms:
            args["delay"] = self.own_delay(delay_ms) / 1000
        elif lifo:
            args["lifo"] = True
        if deduplication is not None:
            args["deduplication"] = deduplication
        return job(job_id, **args)

    @rule(
        ids=some_ids,
        priority=priorities,
        delay_ms=delays,
        lifo=st.booleans(),
        deduplication=st.sampled_from(RULES),
    )
    def add(
        self,
        ids: list[str],
        priority: int,
        delay_ms: int,
        deduplication: Deduplication | None,
        *,
        lifo: bool,
    ) -> None:
        self.tick()
        if deduplication is not None and deduplication.replace:
            delay_ms = 1_000
        new = [self.new_job(i, priority, delay_ms, deduplication, lifo=lifo) for i in ids]
        self.sequence += 1
        self.last_batch = new
        batch = Batch("producer", self.sequence)
        answer = self.run(self.engine.add, QUEUE, new, batch)
        assert [Result(a.id, a.status) for a in answer] == [self.model.add(one) for one in new]

    @precondition(lambda self: self.sequence)
    @rule(back=st.integers(0, 2))
    def add_again(self, back: int) -> None:
        self.tick()
        batch = Batch("producer", max(self.sequence - back, 1))
        answer = self.run(self.engine.add, QUEUE, self.last_batch, batch)
        assert all(added.status is not AddStatus.CREATED for added in answer)

    # Working

    @rule(limit=st.integers(1, 5), lease_ms=leases_ms)
    def fetch(self, limit: int, lease_ms: int) -> None:
        self.exchange([], limit, lease_ms)

    @rule(
        data=st.data(),
        kinds=st.lists(
            st.sampled_from(["complete", "fail", "retry", "release"]), min_size=1, max_size=4
        ),
        delay_ms=delays,
        fetch=fetches,
        lease_ms=leases_ms,
    )
    def settle(
        self, data: st.DataObject, kinds: list[str], delay_ms: int, fetch: int | None, lease_ms: int
    ) -> None:
        assume(self.leases)
        settlements = [self.settlement(kind, self.draw_lease(data), delay_ms) for kind in kinds]
        self.exchange([self.with_follow_ups(one, data) for one in settlements], fetch, lease_ms)

    def with_follow_ups(self, settlement: Settlement, data: st.DataObject) -> Settlement:
        """Put up to two follow-ups on a settlement that can have some."""
        if isinstance(settlement, Retry | Release):
            return settlement
        then = []
        for job_id in data.draw(st.lists(st.sampled_from(IDS), max_size=2)):
            rule = data.draw(st.sampled_from(RULES))
            delay_ms = data.draw(delays)
            if rule is not None and rule.replace:
                delay_ms = 1_000
            # The exchange that settles takes place a millisecond from now.
            delay_ms = self.own_delay(delay_ms + 1) - 1 if delay_ms else 0
            priority, lifo = data.draw(priorities), data.draw(st.booleans())
            args: dict[str, Any] = {"priority": priority, "lifo": lifo and not delay_ms}
            if delay_ms:
                args["delay"] = delay_ms / 1000
            if rule is not None:
                args["deduplication"] = rule
            then.append(FollowUp(QUEUE, job(job_id, **args)))
        return msgspec.structs.replace(settlement, then=tuple(then))

    def draw_lease(self, data: st.DataObject) -> Lease:
        """Return a lease: mostly one that is held, else a former or a forged one."""
        held = [lease for lease in self.leases if self.model.holds(lease)]
        which = data.draw(st.sampled_from(["held", "held", "held", "any", "forged"]))
        if which == "held" and held:
            return data.draw(st.sampled_from(held))
        lease = data.draw(st.sampled_from(self.leases))
        if which == "forged":
            return msgspec.structs.replace(lease, token=lease.token + "0")
        return lease

    def settlement(self, kind: str, lease: Lease, delay_ms: int) -> Settlement:
        match kind:
            case "complete":
                return Complete(lease, '"done"')
            case "fail":
                return Fail(lease, error(lease))
            case "retry":
                return Retry(lease, error(lease), self.own_delay(delay_ms + 1) if delay_ms else 0)
            case _:
                return Release(lease, self.own_delay(delay_ms + 1) if delay_ms else 0)

    def exchange(
        self, settlements: Sequence[Settlement], fetch: int | None, lease_ms: int
    ) -> Exchange:
        self.tick()
        wanted = None if fetch is None else Fetch(fetch, "worker", lease_ms)
        answer = self.run(self.engine.exchange, QUEUE, settlements, wanted)
        assert list(answer.results) == self.model.settle(settlements)
        if fetch is not None:
            self.took(answer, fetch, lease_ms)
        else:
            assert list(answer.leases) == []
        return answer

    def took(self, answer: Exchange, fetch: int, lease_ms: int) -> None:
        self.model.promote_due()
        expected = self.model.take(fetch)
        assert [lease.id for lease in answer.leases] == [record.id for record in expected]
        for lease, record in zip(answer.leases, expected, strict=True):
            assert lease.token not in {
                former.token for former in self.leases if former.id == lease.id
            }
            self.model.start(record, lease, lease_ms)
            seen = (lease.attempts_made, lease.attempts_started, lease.stalls, lease.priority)
            assert seen == (record.made, record.started, record.stalls, record.priority)
            assert lease.deferred_failure == record.deferred
        self.leases += answer.leases
        if len(expected) < fetch:
            due = [record.due for record in self.model.in_state(DELAYED)]
            assert answer.next_due == min(due, default=None)

    @rule(
        data=st.data(),
        complete=st.booleans(),
        keep=st.sampled_from([Keep(count=0), Keep(count=1), Keep(count=3)]),
    )
    def finish_and_keep(self, data: st.DataObject, keep: Keep, *, complete: bool) -> None:
        held = [lease for lease in self.leases if self.model.holds(lease)]
        assume(held)
        lease = data.draw(st.sampled_from(held))
        state = JobState.COMPLETED if complete else FAILED
        self.tick()
        if not self.model.holds(lease):  # it has run out just now
            return
        settlement = Complete(lease, "1", keep) if complete else Fail(lease, error(lease), keep)
        answer = self.run(self.engine.exchange, QUEUE, [settlement], None)
        assert list(answer.results) == [None]
        self.model.settle([settlement])
        among, excess = [self.model.jobs[lease.id]], 1  # none is kept: it does not stay itself
        if keep.count:
            among = self.model.in_state(state)
            excess = len(among) - keep.count
        self.oldest_went(among, excess, lambda record: record.finished or 0)

    def oldest_went(
        self, among: list[Record], many: int, age: Callable[[Record], int]
    ) -> list[Record]:
        """Check that the engine has removed so many, none of them younger than one it left."""
        there = self.run(self.engine.jobs.get, QUEUE, [record.id for record in among])
        gone = [record for record, found in zip(among, there, strict=True) if found is None]
        left = [record for record, found in zip(among, there, strict=True) if found is not None]
        assert len(gone) == max(many, 0)
        assert not gone or not left or max(map(age, gone)) <= min(map(age, left))
        for record in gone:
            del self.model.jobs[record.id]
            if record.key is not None and self.model.keys.get(record.key) == (record.id, None):
                del self.model.keys[record.key]
        return gone

    @rule(ms=st.sampled_from([50, 400, 1_000, 5_000]))
    def advance(self, ms: int) -> None:
        self.tick(ms)

    @rule(data=st.data(), lease_ms=leases_ms)
    def extend(self, data: st.DataObject, lease_ms: int) -> None:
        assume(self.leases)
        leases = data.draw(st.lists(st.sampled_from(self.leases), max_size=4, unique=True))
        self.tick()
        lost = self.keeper.extend(leases, lease_ms)
        assert lost == [lease for lease in leases if not self.model.may_renew(lease)]
        for lease in leases:
            if lease not in lost:
                self.model.jobs[lease.id].lease_until = self.model.now + lease_ms

    @rule(max_stalls=st.integers(0, 2))
    def rescue(self, max_stalls: int) -> None:
        self.tick()
        stalled = self.run(self.engine.rescue, QUEUE, max_stalls)
        expired = [r for r in self.model.in_state(ACTIVE) if self.model.until(r) <= self.model.now]
        assert {one.id for one in stalled} == {record.id for record in expired}
        for one in reversed(stalled):
            record = self.model.jobs[one.id]
            record.stalls += 1
            record.token = None
            assert one.poisoned == (record.stalls > max_stalls)
            if record.cancelled:
                record.deferred = CANCEL_REASON
            elif one.poisoned:
                record.deferred = STALL_REASON
            self.model.ready(record, front=True)

    # What people do

    @rule(ids=some_ids)
    def promote(self, ids: list[str]) -> None:
        self.tick()
        answer = self.run(self.engine.jobs.promote, QUEUE, ids)
        found = self.records(ids, DELAYED)
        assert set(answer) == set(found)
        for i in answer:
            self.model.ready(found[i])

    @rule(ids=some_ids)
    def retry(self, ids: list[str]) -> None:
        self.tick()
        answer = self.run(self.engine.jobs.retry, QUEUE, ids)
        found = self.records(ids, *FINAL)
        assert set(answer) == set(found)
        for i in answer:
            record = found[i]
            self.model.again(record)
            record.made = record.started = record.stalls = 0
            record.finished = record.deferred = None
            record.cancelled = False

    @rule(ids=some_ids)
    def remove(self, ids: list[str]) -> None:
        self.tick()
        answer = self.run(self.engine.jobs.remove, QUEUE, ids)
        found = self.records(ids, *(STORED - {ACTIVE}))
        assert set(answer) == set(found)
        for record in found.values():
            self.model.remove(record)

    @rule(ids=some_ids)
    def cancel(self, ids: list[str]) -> None:
        self.tick()
        answer = self.run(self.engine.jobs.cancel, QUEUE, ids)
        found = self.records(ids, *INITIAL, ACTIVE)
        assert set(answer) == set(found)
        for record in found.values():
            if record.state is ACTIVE:
                record.cancelled = True
            else:
                self.model.finish(record, FAILED)

    @rule()
    def pause(self) -> None:
        self.run(self.engine.queues.pause, QUEUE)
        self.model.paused = True

    @rule()
    def resume(self) -> None:
        self.run(self.engine.queues.resume, QUEUE)
        self.model.paused = False

    @rule(concurrency=st.sampled_from([1, 3, 1_000]))
    def limit(self, concurrency: int) -> None:
        self.run(self.engine.queues.register, QUEUE, Limits(concurrency=concurrency))
        self.model.concurrency = concurrency

    @rule(i=st.sampled_from(IDS), priority=priorities)
    def change_priority(self, i: str, priority: int) -> None:
        record = self.model.jobs.get(i)
        assume(record is not None and record.priority != priority)
        assert record is not None
        self.tick()
        change = (self.engine.jobs.change, QUEUE, i)
        if record.state not in READY | {DELAYED}:
            with pytest.raises(ConflictError):
                self.run(*change, priority=priority)
            return
        self.run(*change, priority=priority)
        record.priority = priority
        if record.state is not DELAYED:
            self.model.ready(record)

    @rule(i=st.sampled_from(IDS), delay_ms=delays)
    def change_delay(self, i: str, delay_ms: int) -> None:
        record = self.model.jobs.get(i)
        assume(record is not None and (delay_ms or record.state is DELAYED))
        assert record is not None
        self.tick()
        change = (self.engine.jobs.change, QUEUE, i)
        if record.state not in READY | {DELAYED}:
            with pytest.raises(ConflictError):
                self.run(*change, delay_ms=delay_ms)
            return
        delay_ms = self.own_delay(delay_ms)
        self.run(*change, delay_ms=delay_ms)
        if delay_ms:
            self.model.delay(record, delay_ms)
        else:
            self.model.ready(record)

    @rule(
        state=st.sampled_from(sorted(STORED - {ACTIVE})),
        grace_ms=st.sampled_from([0, 500]),
        limit=st.sampled_from([1, 2, 100]),
    )
    def clean(self, state: JobState, grace_ms: int, limit: int) -> None:
        def age(record: Record) -> int:
            return record.created if record.finished is None else record.finished

        self.tick()
        old = [r for r in self.model.in_state(state) if age(r) <= self.model.now - grace_ms]
        answer = self.run(self.engine.queues.clean, QUEUE, state, grace_ms, limit)
        keys = dict(self.model.keys)
        # Which of those that have not finished are the first is the state's own order.
        gone = self.oldest_went(old, min(limit, len(old)), age if state in FINAL else lambda _: 0)
        assert sorted(answer) == sorted(record.id for record in gone)
        for record in gone:  # by hand, so that the key is free
            if record.key is not None and keys.get(record.key, ("", 0))[0] == record.id:
                self.model.keys.pop(record.key, None)

    @rule(delayed=st.booleans())
    def drain(self, *, delayed: bool) -> None:
        self.tick()
        states = (*READY, DELAYED) if delayed else tuple(READY)
        wanted = self.model.in_state(*states)
        assert self.run(self.engine.queues.drain, QUEUE, delayed=delayed) == len(wanted)
        for record in wanted:
            self.model.remove(record)

    # After every step

    @invariant()
    def the_engine_is_as_the_model(self) -> None:
        counts, jobs, waiting, prioritized, delayed = self.run(self.look)
        assert counts == {state: len(self.model.in_state(state)) for state in STORED}
        assert {found.id for found in jobs if found is not None} == set(self.model.jobs)
        for found in jobs:
            if found is not None:
                assert self.seen(found) == self.known(self.model.jobs[found.id])
        line = [record.id for record in self.model.line()]
        assert [found.id for found in (*waiting, *prioritized)] == line
        due = sorted(self.model.in_state(DELAYED), key=lambda record: record.due or 0)
        assert [found.id for found in delayed] == [record.id for record in due]

    async def look(
        self,
    ) -> tuple[dict[JobState, int], list[Job | None], list[Job], list[Job], list[Job]]:
        async def listing(state: JobState) -> list[Job]:
            return list((await self.engine.jobs.page(QUEUE, states=[state])).jobs)

        return await asyncio.gather(
            self.engine.queues.counts(QUEUE),
            self.engine.jobs.get(QUEUE, IDS),
            listing(JobState.WAITING),
            listing(JobState.PRIORITIZED),
            listing(DELAYED),
        )

    @staticmethod
    def seen(found: Job) -> tuple[Any, ...]:
        return (
            found.state,
            found.priority,
            found.due_ms,
            found.finished_ms,
            found.attempts_made,
            found.attempts_started,
            found.stalls,
            found.cancel_requested,
            found.worker,
        )

    @staticmethod
    def known(record: Record) -> tuple[Any, ...]:
        return (
            record.state,
            record.priority,
            record.due,
            record.finished,
            record.made,
            record.started,
            record.stalls,
            record.cancelled,
            "worker" if record.state is ACTIVE else None,
        )


class RedisMachine(EngineMachine):
    """The same, on a Redis server whose clock stands still until it is moved."""

    late_ms = 1  # to Redis a key has run out once its time is over
    front_by_id = True  # as in BullMQ, they share one score
    server: RedisServer

    def make_engine(self) -> tuple[Engine, MovableClock]:
        self.server.flush()
        return RedisEngine(parse(self.server.url)), ServerClock(self.server)


@pytest.fixture(scope="module", autouse=True)
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    RedisMachine.server = RedisServer(tmp_path_factory.mktemp("redis"), movable_clock=True)
    RedisMachine.server.start()
    yield
    RedisMachine.server.stop()


TestEngineMachine = EngineMachine.TestCase
TestEngineMachine.settings = settings(
    settings.get_profile("toril"), max_examples=250, stateful_step_count=40
)
TestRedisMachine = RedisMachine.TestCase
TestRedisMachine.settings = settings(
    settings.get_profile("toril"), max_examples=150, stateful_step_count=40
)
