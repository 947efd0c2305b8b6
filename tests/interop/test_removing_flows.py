"""Removing jobs of flows: parents take their children along, unless one of them runs."""

import pytest
from redis.asyncio import Redis

from tests.interop.flows import child, parent
from tests.interop.waiting import until, until_state
from toril import ConflictError, JobState

SIDES = ["theirs", "ours"]


async def test_a_parent_that_toril_removes_takes_its_children_along(
    node, theirs, parents, ours, our_parents, work
):
    leaf = child(0)
    middle = child(1) | {"children": [leaf]}
    await node.flow("add", parent(middle, child(2), child(3, delay=3_600_000)))
    await work()
    await until_state(ours.handle("child1"), JobState.COMPLETED)
    await until_state(ours.handle("child2"), JobState.COMPLETED)

    await our_parents.handle("parent").remove()

    for queue in (theirs, parents):
        counts = await queue.call("getJobCounts")
        assert not any(counts.values()), counts


async def test_a_removed_parent_leaves_no_key_and_tells_of_each_child(
    node, theirs, parents, our_parents, server
):
    await theirs.follow()
    await parents.follow()
    await node.flow("add", parent(child(0), child(1, priority=2), child(2, delay=3_600_000)))

    await our_parents.handle("parent").remove()

    for n, prev in enumerate(["wait", "prioritized", "delayed"]):
        assert (await theirs.heard("removed", jobId=f"child{n}"))["prev"] == prev
    await parents.heard("removed", jobId="parent")
    async with Redis(port=server.port, decode_responses=True) as redis:
        keys = await redis.keys("bull:*")
    assert not [key for key in keys if "child" in key or key.startswith("bull:parents:parent")]


@pytest.mark.parametrize("worker", SIDES)
async def test_a_parent_of_a_child_that_runs_is_not_removed(
    node, theirs, parents, ours, our_parents, work, worker
):
    await (theirs.work() if worker == "theirs" else work())
    await node.flow("add", parent(child(0, name="hold"), child(1, delay=3_600_000)))
    await until_state(ours.handle("child0"), JobState.ACTIVE)

    with pytest.raises(ConflictError, match="while one of its children is running"):
        await our_parents.handle("parent").remove()

    assert await parents.state("parent") == "waiting-children"
    assert await theirs.state("child1") == "delayed"


async def test_a_child_that_toril_removes_with_its_own_children_releases_its_parent(
    node, theirs, parents, ours, our_parents
):
    middle = child(1) | {"children": [child(0)]}
    await node.flow("add", parent(middle))

    await ours.handle("child1").remove()

    assert await parents.state("parent") == "waiting"
    assert await theirs.call("getJob", "child0") is None


async def test_a_job_that_has_got_the_id_of_a_removed_child_stays(
    node, theirs, parents, ours, our_parents, work
):
    await node.flow("add", parent(child(0, removeOnComplete=True)))
    await work()
    await until(lambda: is_waiting(parents))
    await ours.pause()
    await theirs.add("echo", jobId="child0")

    await our_parents.handle("parent").remove()

    assert await theirs.state("child0") == "waiting"


async def is_waiting(parents):
    return await parents.state("parent") == "waiting"
