"""What is drawn too seldom, or where Toril and BullMQ part on purpose."""

from __future__ import annotations

from typing import Any

import pytest

from tests.differential.drawing import FLAGS, new_job
from tests.differential.lab import PARENTS, PREFIX, QUEUE, Lab
from toril.engine.contract.hot_path import Added, AddStatus, Fetch, Refusal
from toril.engine.redis import RedisEngine
from toril.model.job import AttemptError, Lease, QueueRef
from toril.model.options import Deduplication
from toril.model.settlement import Complete, Fail
from toril.model.state import JobState

REPLACED = Deduplication("key", 60_000, replace=True)


@pytest.fixture
def engine(lab: Lab) -> RedisEngine:
    lab.theirs.flushall()
    return lab.engine()


def fetch(lab: Lab, engine: RedisEngine, limit: int, queue: QueueRef = QUEUE) -> list[Lease]:
    wanted = Fetch(limit, "worker", 60_000)
    return list(lab.runner.run(engine.exchange(queue, [], wanted)).leases)


def add(lab: Lab, engine: RedisEngine, job_id: str, **args: Any) -> Added:
    [added] = lab.runner.run(engine.add(QUEUE, [new_job(job_id, args)]))
    return added


def test_a_job_that_has_got_the_id_of_the_holder_of_a_key_is_not_replaced(
    lab: Lab, engine: RedisEngine
) -> None:
    """BullMQ removes the other job: it does not look whose key it is."""
    add(lab, engine, "job-a", delay=5, deduplication=REPLACED)
    lab.ours.zrem(f"{PREFIX}delayed", "job-a")
    lab.ours.delete(f"{PREFIX}job-a")
    add(lab, engine, "job-a", delay=5)

    added = add(lab, engine, "job-b", delay=5, deduplication=REPLACED)

    assert (added.id, added.status) == ("job-b", AddStatus.CREATED)
    assert lab.ours.exists(f"{PREFIX}job-a")
    assert lab.ours.zscore(f"{PREFIX}delayed", "job-a")


def test_bullmq_replaces_it(lab: Lab, engine: RedisEngine) -> None:
    run, add_one = lab.runner.run, lab.bullmq.add_one
    rule = {"id": "key", "ttl": 60_000, "replace": True}
    run(add_one({"jobId": "job-a", "delay": 5_000, "deduplication": rule}))
    lab.theirs.zrem(f"{PREFIX}delayed", "job-a")
    lab.theirs.delete(f"{PREFIX}job-a")
    run(add_one({"jobId": "job-a", "delay": 5_000}))

    run(add_one({"jobId": "job-b", "delay": 5_000, "deduplication": rule}))

    assert not lab.theirs.exists(f"{PREFIX}job-a")


@pytest.fixture
def parent_that_goes_on(lab: Lab, engine: RedisEngine) -> list[Lease]:
    """A parent that runs while a child of it does: another child failed, and let it go on."""
    lab.runner.run(engine.queues.register(QUEUE))
    children = [
        {"id": "child-a", "opts": {"continueParentOnFailure": True}},
        {"id": "child-b", "opts": {}},
    ]
    flow = {"queue": QUEUE.name, "id": "parent", "opts": {}}
    lab.runner.run(lab.guest.add_flow(flow, children))
    failing, open_child = fetch(lab, engine, 2)
    lab.runner.run(
        engine.exchange(QUEUE, [Fail(failing, AttemptError(1, "ValueError", "no", ""), None)], None)
    )
    [parent] = fetch(lab, engine, 1)
    return [parent, open_child]


def test_a_parent_completes_in_the_batch_of_its_last_child(
    lab: Lab, engine: RedisEngine, parent_that_goes_on: list[Lease]
) -> None:
    parent, child = parent_that_goes_on
    batch = [Complete(child, "1", None), Complete(parent, "2", None)]
    answer = lab.runner.run(engine.exchange(QUEUE, batch, None))
    assert list(answer.results) == [None, None]
    assert lab.ours.zrange(f"{PREFIX}completed", 0, -1) == ["child-b", "parent"]


def test_a_parent_before_its_last_child_in_a_batch_has_an_open_child(
    lab: Lab, engine: RedisEngine, parent_that_goes_on: list[Lease]
) -> None:
    parent, child = parent_that_goes_on
    batch = [Complete(parent, "2", None), Complete(child, "1", None)]
    answer = lab.runner.run(engine.exchange(QUEUE, batch, None))
    assert list(answer.results) == [Refusal.OPEN_CHILDREN, None]
    assert lab.ours.lrange(f"{PREFIX}active", 0, -1) == ["parent"]


def test_a_parent_that_failed_in_the_batch_of_its_child_is_not_to_be_failed_again(
    lab: Lab, engine: RedisEngine
) -> None:
    run = lab.runner.run
    run(engine.queues.register(QUEUE))
    children = [{"id": f"child-{one}", "opts": {one: True}} for one in FLAGS[:2]]
    run(lab.guest.add_flow({"queue": QUEUE.name, "id": "parent", "opts": {}}, children))
    strict, lenient = fetch(lab, engine, 2)
    error = AttemptError(1, "ValueError", "no", "")
    run(engine.exchange(QUEUE, [Fail(lenient, error, None)], None))
    [parent] = fetch(lab, engine, 1)

    both = [Fail(parent, error, None), Fail(strict, error, None)]
    run(engine.exchange(QUEUE, both, None))

    assert lab.ours.zcard(f"{PREFIX}failed") == 3
    assert not lab.ours.hexists(f"{PREFIX}parent", "defa")


@pytest.mark.parametrize("how", ["drain", "clean"])
def test_a_parent_elsewhere_goes_on_when_its_last_child_is_taken_away_and_tells_of_it(
    lab: Lab, engine: RedisEngine, how: str
) -> None:
    """BullMQ tells nothing, and of a parent in the same queue it removes all."""
    lab.runner.run(engine.queues.register(QUEUE))
    lab.runner.run(engine.queues.register(PARENTS))
    flow = {"queue": PARENTS.name, "id": "parent", "opts": {}}
    lab.runner.run(lab.guest.add_flow(flow, [{"id": "child", "opts": {}}]))
    if how == "drain":
        assert lab.runner.run(engine.queues.drain(QUEUE)) == 1
    else:
        assert lab.runner.run(engine.queues.clean(QUEUE, JobState.WAITING, 0, 10)) == ["child"]
    [parent] = fetch(lab, engine, 1, PARENTS)
    assert parent.id == "parent"
    told = [entry["event"] for _, entry in lab.ours.xrange("bull:parents:events")]
    assert told == ["added", "waiting-children", "waiting", "active"]


def test_what_waits_for_the_end_of_a_job_takes_no_other_jobs_id(
    lab: Lab, engine: RedisEngine
) -> None:
    """BullMQ writes over the other job, which stands in two places then."""
    run, rule = lab.runner.run, {"id": "key", "keepLastIfActive": True}
    run(engine.queues.register(QUEUE))
    run(lab.guest.add_one({"jobId": "first", "deduplication": rule}))
    [first] = fetch(lab, engine, 1)
    run(lab.guest.add_one({"jobId": "job-a", "deduplication": rule}))
    add(lab, engine, "job-a", priority=1)

    run(engine.exchange(QUEUE, [Complete(first, "1", None)], None))

    assert lab.ours.zrange(f"{PREFIX}prioritized", 0, -1) == ["job-a"]
    assert not lab.ours.exists(f"{PREFIX}wait")
    assert not lab.ours.exists(f"{PREFIX}dn:key")
    told = [entry for _, entry in lab.ours.xrange(f"{PREFIX}events")]
    assert {"event": "duplicated", "jobId": "job-a"} in told
