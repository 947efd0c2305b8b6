"""Schedules through BullMQ's own scripts and through Toril leave the same keys."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

import bullmq.job_scheduler
import pytest
from bullmq.job_scheduler import JobScheduler
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.differential.keyspace import KeySpace, parsed, read
from tests.differential.lab import PREFIX, QUEUE, Lab
from tests.differential.oracle import ServerClock, Taken
from toril.engine.contract.hot_path import Fetch
from toril.model.job import Lease
from toril.model.job_options import JobOptions
from toril.model.schedule import Schedule
from toril.model.settlement import Complete, Release

T = TypeVar("T")

LEASE_MS = 60_000
ALIKE_MS = 1_260_000  # after it all rules are due as they were before: each run finds the same
IDS = ("daily", "hourly")
RULES: tuple[dict[str, Any], ...] = (
    {"every_ms": 500},
    {"every_ms": 700, "offset_ms": 100},
    {"every_ms": 900, "start_ms": 400},  # from the test's begin
    {"cron": "*/2 * * * * *", "tz": "UTC"},
    {"cron": "*/3 * * * * *", "tz": "UTC", "limit": 2},
)
NAMES = {
    "every_ms": "every",
    "offset_ms": "offset",
    "start_ms": "startDate",
    "cron": "pattern",
    "tz": "tz",
    "limit": "limit",
}
OWN = {"prevMillis"}
"""What the package writes for an interval into a job's options; BullMQ on Node.js does not."""
COMPARED = ("repeat", "wait", "prioritized", "active", "delayed", "completed", "id")


class Schedules(RuleBasedStateMachine):
    """It compares after each step.

    BullMQ's `offset` of an interval that was changed is the old one's: it is given Toril's.
    """

    lab: Lab

    def __init__(self) -> None:
        super().__init__()
        self.lab.theirs.flushall()
        self.engine = self.lab.engine()
        self.bullmq = self.lab.bullmq
        self.scheduler = JobScheduler(self.bullmq.queue)
        self.lab.pass_time(ALIKE_MS - self.lab.now % ALIKE_MS)
        self.begin = self.lab.now
        self.held: list[tuple[Lease, Taken]] = []
        self.run(self.engine.queues.register(QUEUE))
        self.run(self.bullmq.open())
        self.space = read(self.lab.theirs, PREFIX)

    def teardown(self) -> None:
        self.run(self.engine.close())

    def run(self, call: Coroutine[Any, Any, T]) -> T:
        return self.lab.runner.run(call)

    def compare(self) -> None:
        ours, theirs = read(self.lab.ours, PREFIX), read(self.lab.theirs, PREFIX)
        assert told(ours) == told(theirs)
        for key, fields in ours.contents.items():
            if is_schedule(key) and "offset" in fields:
                self.lab.theirs.hset(PREFIX + key, "offset", fields["offset"])
        self.space = theirs

    @rule(
        one=st.sampled_from(IDS),
        how=st.sampled_from(RULES),
        number=st.integers(1, 3),
        priority=st.sampled_from([0, 0, 2]),
    )
    def upsert(self, one: str, how: dict[str, Any], number: int, priority: int) -> None:
        how = dict(how)
        if "start_ms" in how:
            how["start_ms"] += self.begin
        given = JobOptions.of({"priority": priority, "attempts": 2, "backoff": None})
        data = f'{{"number":{number}}}'
        schedule = Schedule.of(one, name="send", data=data, options=given, **how)
        if schedule.cron is not None and self.is_taken(schedule):
            return  # Toril takes the next time, BullMQ refuses
        self.run(self.engine.schedules.upsert(QUEUE, schedule))
        options = {"attempts": 2} | ({"priority": priority} if priority else {})
        theirs = {NAMES[name]: value for name, value in how.items()}
        self.run(
            self.scheduler.upsertJobScheduler(one, theirs, "send", {"number": number}, options)
        )
        self.compare()

    def is_taken(self, schedule: Schedule) -> bool:
        """Return whether the next time has a job that is not waiting to be taken."""
        due = schedule.first_after(self.lab.now)
        job_id = f"repeat:{schedule.id}:{due}"
        waits = {*self.waiting(), *self.space.members("delayed")}
        return job_id in self.space.contents and job_id not in waits

    def carriers(self) -> set[str]:
        schedules: dict[str, float] = self.space.contents.get("repeat", {})
        return {f"repeat:{one}:{due:.0f}" for one, due in schedules.items()}

    def waiting(self) -> list[str]:
        return [*self.space.members("wait"), *self.space.members("prioritized")]

    @rule(one=st.sampled_from(IDS))
    def remove(self, one: str) -> None:
        waiting = self.carriers() & {*self.waiting()}
        if any(turn_of(job_id)[0] == one for job_id in waiting):
            return  # Toril removes it, BullMQ leaves it
        gone = self.run(self.engine.schedules.remove(QUEUE, one))
        assert gone == (self.run(self.scheduler.removeJobScheduler(one)) == 0)
        self.compare()

    @precondition(lambda self: self.space.contents.get("repeat"))
    @rule()
    def take(self) -> None:
        answer = self.run(self.engine.exchange(QUEUE, [], Fetch(1, "worker", LEASE_MS)))
        token = answer.leases[0].token if answer.leases else "worker:none"
        taken = self.run(self.bullmq.fetch(1, token, LEASE_MS))
        for one in taken:
            job = one.job
            self.run(
                self.scheduler.upsertJobScheduler(
                    turn_of(job.id)[0],
                    job.opts["repeat"],
                    job.name,
                    job.data,
                    job.opts,
                    override=False,
                    producer_id=job.id,
                )
            )
        self.held += zip(answer.leases, taken, strict=True)
        self.compare()

    @precondition(lambda self: self.held)
    @rule(is_done=st.booleans())
    def settle(self, is_done: bool) -> None:
        lease, taken = self.held.pop(0)
        made = Complete(lease, "1") if is_done else Release(lease)
        answer = self.run(self.engine.exchange(QUEUE, [made], None))
        assert answer.results == [None]
        done = self.bullmq.complete(taken, 1) if is_done else self.bullmq.release(taken, 0)
        assert self.run(done)
        self.compare()

    @rule(ms=st.sampled_from([1, 100, 499, 500, 700, 1_300, 4_000]))
    def pass_time(self, ms: int) -> None:
        self.lab.pass_time(ms)

    @rule()
    def drain(self) -> None:
        waiting = self.space.members("wait")
        if len(waiting) > 1 and self.carriers() & {*waiting}:
            return  # BullMQ takes the first ones off the list, whichever it has removed
        self.run(self.engine.queues.drain(QUEUE, delayed=True))
        self.run(self.bullmq.queue.drain(delayed=True))
        self.compare()


def turn_of(job_id: str) -> tuple[str, int]:
    _, schedule, due = job_id.split(":")
    return schedule, int(due)


def is_schedule(key: str) -> bool:
    return key.startswith("repeat:") and key.count(":") == 1


def told(space: KeySpace) -> dict[str, Any]:
    """Return what is compared of a side."""
    found = {key: space.contents[key] for key in COMPARED if key in space.contents}
    for key, fields in space.contents.items():
        if is_schedule(key):
            found[key] = {
                field: parsed(text) if field in {"opts", "data"} else text
                for field, text in fields.items()
                if field != "offset"
            }
    for key, fields in space.jobs().items():
        found[key] = {name: fields.get(name) for name in ("name", "delay", "priority", "rjk")}
        found[key]["data"] = parsed(fields["data"])
        found[key]["opts"] = {
            name: value
            for name, value in parsed(fields["opts"]).items()
            if value and name not in OWN
        }
    found["events"] = [
        (event["event"], event.get("jobId"), event.get("delay"))
        for event in space.events
        if event["event"] in {"added", "delayed", "completed"}
        or (event["event"] == "removed" and event["prev"] == "delayed")  # not of a drain
    ]
    return found


def test_schedules_leave_the_same_keys(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bullmq.job_scheduler, "time", ServerClock(lambda: lab.now))
    Schedules.lab = lab
    run_state_machine_as_test(
        Schedules,
        settings=settings(
            settings.get_profile("toril"),
            max_examples=60,
            stateful_step_count=30,
            derandomize=True,
        ),
    )
