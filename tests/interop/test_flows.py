"""Flows that Node adds: parents wait for children that Toril works."""

import pytest

from tests.interop.agent import NodeError
from tests.interop.flows import child, failing, parent
from tests.interop.waiting import until, until_state
from toril import JobState

SIDES = ["theirs", "ours"]


async def test_a_parent_runs_in_node_after_its_children_ran_in_toril(node, parents, ours, work):
    await parents.work()
    await node.flow("add", parent(*(child(n) for n in range(3))))
    assert await parents.state("parent") == "waiting-children"

    await work()

    result = await parents.finished("parent")
    assert sorted(value["n"] for value in result["values"]) == [0, 1, 2]
    last_child = max([(await ours.get(f"child{n}")).finished_ms for n in range(3)])
    assert (await parents.look("parent"))["processedOn"] >= last_child


async def test_a_parent_runs_in_toril_after_its_children_ran_in_node(
    node, theirs, parents, ours, our_parents, work
):
    await work("parents")
    await node.flow("add", parent(child(0), child(1)))
    assert (await our_parents.get("parent")).state is JobState.WAITING_CHILDREN

    await theirs.work()

    assert await parents.finished("parent") == {"who": "parent"}
    values = await parents.job("parent", "getChildrenValues")
    assert values == {"bull:q:child0": {"n": 0}, "bull:q:child1": {"n": 1}}


async def test_parents_and_children_all_run_in_toril(node, parents, ours, work):
    await node.flow("add", parent(child(0), child(1)))

    await work("q", "parents")

    assert await parents.finished("parent") == {"who": "parent"}
    values = await parents.job("parent", "getChildrenValues")
    assert values == {"bull:q:child0": {"n": 0}, "bull:q:child1": {"n": 1}}


async def test_a_tree_of_three_levels_runs_from_the_leaves_to_the_root(node, parents, ours, work):
    leaves = [child(n) for n in range(2)]
    middle = child(2, name="middle", data={"level": 2}) | {"children": leaves}
    await parents.follow()
    await node.flow("add", parent(middle))
    await work("q", "parents")

    assert await parents.finished("parent") == {"who": "parent"}
    values = await parents.job("parent", "getChildrenValues")
    assert values == {"bull:q:child2": {"level": 2}}
    assert parents.order_heard("parent") == [
        *("added", "waiting-children", "waiting"),
        *("active", "completed"),
    ]
    assert (await parents.heard("waiting", jobId="parent"))["prev"] == "waiting-children"


@pytest.mark.parametrize(
    ("options", "state"), [({"priority": 3}, "prioritized"), ({"delay": 3_600_000}, "delayed")]
)
async def test_a_parent_that_is_released_keeps_its_priority_or_delay(
    node, parents, ours, work, options, state
):
    await node.flow("add", parent(child(0), **options))

    await work()

    await until(lambda: parent_is(parents, state))


async def test_a_parent_that_is_released_goes_before_those_that_wait(node, parents, ours, work):
    await node.flow("add", parent(child(0)))
    other = await parents.add("echo")

    await work()
    await until(lambda: parent_is(parents, "waiting"))

    waiting = [job["id"] for job in await parents.call("getWaiting")]
    assert waiting == ["parent", other]


async def test_a_parent_of_a_paused_queue_waits_for_its_end(node, parents, ours, work):
    await parents.work()
    await node.flow("add", parent(child(0)))
    await parents.call("pause")

    await work()
    await until(lambda: parent_is(parents, "waiting"))
    await parents.call("resume")

    assert (await parents.finished("parent"))["values"] == [{"n": 0}]


async def parent_is(parents, state):
    return await parents.state("parent") == state


@pytest.mark.parametrize("worker", SIDES)
async def test_without_an_option_a_failed_child_keeps_its_parent_waiting(
    node, theirs, parents, ours, work, worker
):
    await parents.work()
    await node.flow("add", parent(child(0), failing(1)))

    await (theirs.work() if worker == "theirs" else work())

    await until_state(ours.handle("child0"), JobState.COMPLETED)
    await until_state(ours.handle("child1"), JobState.FAILED)
    assert await parents.state("parent") == "waiting-children"
    await theirs.job("child1", "updateData", {"times": 0})
    await theirs.job("child1", "retry", "failed")
    result = await parents.finished("parent")
    assert {"n": 0} in result["values"]


@pytest.mark.parametrize("worker", SIDES)
async def test_a_failed_child_fails_its_parent_where_it_says_so(
    node, theirs, parents, ours, work, worker
):
    await parents.work()
    hold = child(0, delay=3_600_000)
    await node.flow("add", parent(hold, failing(1, failParentOnFailure=True)))

    await (theirs.work() if worker == "theirs" else work())

    with pytest.raises(NodeError, match="child bull:q:child1 failed"):
        await parents.finished("parent")
    assert await theirs.state("child0") == "delayed"
    counts = await parents.job("parent", "getDependenciesCount")
    assert (counts["failed"], counts["unprocessed"]) == (1, 1)


async def test_torils_worker_fails_a_parent_whose_child_failed_without_running_it(
    node, parents, ours, our_parents, manager, work
):
    ran = []

    async def run(job):
        ran.append(job.id)

    manager.register_processor("parents", run)
    await node.flow("add", parent(failing(0, failParentOnFailure=True), attempts=5))

    await work("q", "parents")

    with pytest.raises(NodeError, match="child bull:q:child0 failed"):
        await parents.finished("parent")
    assert ran == []
    job = await our_parents.get("parent")
    assert (job.state, job.failed_reason) == (JobState.FAILED, "child bull:q:child0 failed")


async def test_a_failure_goes_up_the_whole_tree(node, parents, ours, work):
    leaf = failing(0, failParentOnFailure=True)
    middle = child(1, failParentOnFailure=True) | {"children": [leaf]}
    await node.flow("add", parent(middle))

    await work("q", "parents")

    with pytest.raises(NodeError, match="child bull:q:child1 failed"):
        await parents.finished("parent")
    assert (await ours.get("child1")).failed_reason == "child bull:q:child0 failed"


@pytest.mark.parametrize("worker", SIDES)
async def test_a_parent_goes_on_at_once_where_a_failed_child_says_so(
    node, theirs, parents, ours, work, worker
):
    await parents.work()
    open_child = child(0, delay=3_600_000)
    await node.flow("add", parent(open_child, failing(1, continueParentOnFailure=True)))

    await (theirs.work() if worker == "theirs" else work())

    await until(lambda: parent_failed_or_went_on(parents))
    ignored = await parents.job("parent", "getIgnoredChildrenFailures")
    assert ignored == {"bull:q:child1": "no luck"}
    assert await theirs.state("child0") == "delayed"


async def parent_failed_or_went_on(parents):
    return (await parents.look("parent"))["attemptsStarted"] == 1


@pytest.mark.parametrize("worker", SIDES)
async def test_a_parent_that_ends_before_its_children_has_failed(node, parents, ours, work, worker):
    await work()
    await (parents.work() if worker == "theirs" else work("parents"))
    open_child = child(0, delay=3_600_000)
    await node.flow("add", parent(open_child, failing(1, continueParentOnFailure=True)))

    with pytest.raises(NodeError, match=r"pending|not finished"):
        await parents.finished("parent")


@pytest.mark.parametrize("worker", SIDES)
async def test_an_ignored_failure_lets_the_parent_run_with_the_rest(
    node, theirs, parents, ours, work, worker
):
    await parents.work()
    await node.flow("add", parent(child(0), failing(1, ignoreDependencyOnFailure=True)))

    await (theirs.work() if worker == "theirs" else work())

    assert await parents.finished("parent") == {"values": [{"n": 0}], "ignored": ["no luck"]}


@pytest.mark.parametrize("worker", SIDES)
async def test_a_removed_dependency_lets_the_parent_run_as_if_it_had_not_been(
    node, theirs, parents, ours, work, worker
):
    await parents.work()
    await node.flow("add", parent(child(0), failing(1, removeDependencyOnFailure=True)))

    await (theirs.work() if worker == "theirs" else work())

    assert await parents.finished("parent") == {"values": [{"n": 0}], "ignored": []}


async def test_a_child_that_is_tried_again_has_not_failed_yet(node, parents, ours, work):
    await parents.work()
    trying = child(0, name="fail", data={"times": 2}, attempts=3, failParentOnFailure=True)
    await node.flow("add", parent(trying))

    await work()

    assert (await parents.finished("parent"))["values"] == ["after 2"]


async def test_a_child_that_leaves_no_record_leaves_its_value(node, parents, ours, work):
    await parents.work()
    await node.flow("add", parent(child(0, removeOnComplete=True), child(1)))

    await work()

    values = (await parents.finished("parent"))["values"]
    assert sorted(value["n"] for value in values) == [0, 1]


async def test_a_failed_child_that_leaves_no_record_is_waited_for_no_more(
    node, parents, ours, work
):
    await parents.work()
    await node.flow("add", parent(child(0), failing(1, removeOnFail=True)))

    await work()

    assert (await parents.finished("parent"))["values"] == [{"n": 0}]


@pytest.mark.parametrize("how", ["remove", "drain", "clean"])
async def test_a_child_that_toril_removes_is_waited_for_no_more(node, parents, ours, work, how):
    await parents.work()
    await node.flow("add", parent(child(0)))

    match how:
        case "remove":
            await ours.handle("child0").remove()
        case "drain":
            await ours.drain()
        case "clean":
            await until(lambda: ours.clean(0, JobState.WAITING))

    assert await parents.finished("parent") == {"values": [], "ignored": []}


async def test_a_child_that_toril_cancels_has_failed(node, theirs, parents, ours):
    await parents.work()
    await node.flow("add", parent(child(0, failParentOnFailure=True)))

    await ours.handle("child0").cancel()

    with pytest.raises(NodeError, match="child bull:q:child0 failed"):
        await parents.finished("parent")


@pytest.mark.parametrize("worker", SIDES)
async def test_a_completed_child_that_toril_runs_again_is_waited_for_again(
    node, theirs, parents, ours, work, worker
):
    await (theirs.work() if worker == "theirs" else work())
    await node.flow("add", parent(child(0), child(1, delay=3_600_000)))
    await until_state(ours.handle("child0"), JobState.COMPLETED)
    await ours.pause()

    await ours.handle("child0").retry()

    dependencies = await parents.job("parent", "getDependencies")
    assert sorted(dependencies["unprocessed"]) == ["bull:q:child0", "bull:q:child1"]
    await ours.resume()
    await ours.handle("child1").promote()
    await until(lambda: parent_is(parents, "waiting"))


async def test_the_tree_is_shown_as_toril_works_it(node, parents, ours, work):
    await node.flow("add", parent(child(0), failing(1)))

    await work()
    await until_state(ours.handle("child0"), JobState.COMPLETED)
    await until_state(ours.handle("child1"), JobState.FAILED)

    tree = await node.flow("getFlow", {"id": "parent", "queueName": "parents"})
    children = {one["id"]: one for one in tree["children"]}
    assert children["child0"]["returnvalue"] == {"n": 0}
    assert children["child1"]["failedReason"] == "no luck"


async def test_many_children_that_end_at_the_same_time_release_their_parent_once(
    node, parents, ours, work
):
    await parents.work()
    await parents.follow()
    await node.flow("add", parent(*(child(n) for n in range(100))))

    await work(concurrency=20)

    result = await parents.finished("parent")
    assert sorted(value["n"] for value in result["values"]) == list(range(100))
    assert len(parents.all_heard("waiting", jobId="parent")) == 1


async def test_a_job_that_runs_already_becomes_the_child_of_a_flow(node, parents, ours, gate, work):
    await parents.work()
    await work()
    await ours.add("hold", job_id="mon")
    await until(lambda: gate.held)

    running = child(0, name="hold", data={}) | {"opts": {"jobId": "mon"}}
    await node.flow("add", parent(running))
    assert await parents.state("parent") == "waiting-children"
    gate.release()

    assert (await parents.finished("parent"))["values"] == ["released"]


async def test_a_job_that_runs_already_fails_its_new_parent(node, parents, ours, gate, work):
    await work("q", "parents")
    await ours.add("hold", job_id="mon", attempts=1)
    await until(lambda: gate.held)
    running = child(0, name="hold", data={}) | {
        "opts": {"jobId": "mon", "failParentOnFailure": True}
    }
    await node.flow("add", parent(running))

    await ours.handle("mon").cancel()

    with pytest.raises(NodeError, match="child bull:q:mon failed"):
        await parents.finished("parent")
