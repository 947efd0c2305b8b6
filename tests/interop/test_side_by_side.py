"""Workers of both kinds on one queue: each job ends once, whoever dies."""

from collections import Counter

from tests.interop.waiting import until
from toril import JobState

JOBS = 400
LEASE = 4  # seconds: long enough for a busy machine to renew in time
NODE_LEASE = {"lockDuration": 4000, "stalledInterval": 500}


async def test_both_kinds_share_the_jobs_and_each_ends_once(theirs, ours, work):
    await theirs.follow()
    await theirs.work(concurrency=5, name="node")
    await work(concurrency=5)

    ours_ids = [
        handle.id
        for handle in await ours.add_bulk(
            [{"name": "echo", "data": {"n": n}} for n in range(JOBS // 2)]
        )
    ]
    their_ids = await theirs.add_bulk(
        [{"name": "echo", "data": {"n": n}} for n in range(JOBS // 2, JOBS)]
    )

    await until(lambda: all_ended(ours, completed=JOBS))
    results = [(await ours.get(job_id)).result for job_id in (*ours_ids, *their_ids)]
    assert results == [{"n": n} for n in range(JOBS)]
    assert await ended_once(theirs, {*ours_ids, *their_ids})
    assert await nothing_is_left(theirs, completed=JOBS)


async def test_jobs_of_a_killed_node_worker_are_rescued_by_toril(
    theirs, ours, start_node, work, gate
):
    victim = await start_node()
    await victim.queue("q").work(concurrency=20, **NODE_LEASE)
    held = [(await ours.add("hold", {"n": n})).id for n in range(20)]
    await until(lambda: active(ours, 20))
    await theirs.follow()

    victim.kill()
    await work(lease=LEASE, concurrency=20)
    rest = await theirs.add_bulk([{"name": "echo", "data": {"n": n}} for n in range(100)])
    await until(lambda: len(gate.held) == 20)
    gate.release()

    await until(lambda: all_ended(ours, completed=120))
    assert {one["jobId"] for one in theirs.all_heard("stalled")} == set(held)
    assert await ended_once(theirs, {*held, *rest})
    assert [(await theirs.look(job_id))["stalledCounter"] for job_id in held] == [1] * 20


async def test_jobs_of_a_killed_toril_worker_are_rescued_by_node(
    theirs, ours, node, start_toril_worker
):
    victim = await start_toril_worker("q", lease=LEASE)
    held = [(await ours.add("hold", {"n": n})).id for n in range(10)]
    await until(lambda: active(ours, 10))
    await theirs.follow()

    victim.kill()
    await theirs.work(concurrency=20, **NODE_LEASE)
    rest = [(await ours.add("echo", {"n": n})).id for n in range(100)]
    await until(lambda: run_again(ours, held))

    async def let_go():
        await node.release()  # again, for jobs that Redis had given to Node but not yet its handler
        return await all_ended(ours, completed=110)

    await until(let_go)
    assert {one["jobId"] for one in theirs.all_heard("stalled")} == set(held)
    assert await ended_once(theirs, {*held, *rest})
    assert [(await ours.get(job_id)).stalls for job_id in held] == [1] * 10


async def test_a_worker_of_each_kind_dies_in_the_middle_and_every_job_has_one_result(
    theirs, ours, start_node, start_toril_worker, work, gate
):
    await theirs.follow()
    node_victim, toril_victim = await start_node(), await start_toril_worker("q", lease=LEASE)
    await node_victim.queue("q").work(concurrency=10, name="victim", **NODE_LEASE)
    stuck = [(await ours.add("hold")).id for _ in range(20)]
    await until(lambda: active(ours, 20))
    ids = [
        handle.id
        for handle in await ours.add_bulk([{"name": "echo", "data": {"n": n}} for n in range(JOBS)])
    ]

    node_victim.kill()
    toril_victim.kill()
    await work(lease=LEASE, concurrency=40)
    await theirs.work(concurrency=40, name="survivor", **NODE_LEASE)
    await until(lambda: run_again(ours, stuck))

    async def let_go():
        gate.release()
        await theirs.node.release()
        return await all_ended(ours, completed=JOBS + 20)

    await until(let_go)
    assert [(await ours.get(job_id)).result for job_id in ids] == [{"n": n} for n in range(JOBS)]
    assert [(await ours.get(job_id)).result for job_id in stuck] == ["released"] * 20
    assert await ended_once(theirs, {*ids, *stuck})
    assert await nothing_is_left(theirs, completed=JOBS + 20)


async def test_a_job_that_kills_workers_is_given_up_by_either_side(
    theirs, ours, start_node, start_toril_worker, work
):
    victim = await start_toril_worker("q", lease=LEASE)
    handle = await ours.add("hold", attempts=5)
    await until(lambda: active(ours, 1))
    victim.kill()
    second = await start_node()
    await second.queue("q").work(maxStalledCount=1, **NODE_LEASE)
    await until(lambda: run_again(ours, [handle.id]))
    second.kill()

    await work(lease=LEASE, max_stalls=1)

    await until(lambda: all_ended(ours, failed=1))
    reason = "job stalled more than allowable limit"
    assert (await theirs.look(handle.id))["failedReason"] == reason
    assert (await handle.job()).failed_reason == reason


async def test_a_poisonous_job_of_torils_worker_is_given_up_by_node(
    theirs, ours, start_toril_worker
):
    victim = await start_toril_worker("q", lease=LEASE)
    handle = await ours.add("hold", attempts=5)
    await until(lambda: active(ours, 1))
    victim.kill()

    await theirs.work(maxStalledCount=0, **NODE_LEASE)

    await until(lambda: all_ended(ours, failed=1))
    reason = "job stalled more than allowable limit"
    assert (await theirs.look(handle.id))["failedReason"] == reason
    assert (await handle.job()).failed_reason == reason


async def all_ended(ours, **expected):
    """Whether there are so many of each state, and none of the others."""
    counts = {state.value: n for state, n in (await ours.counts()).items() if n}
    return counts == expected


async def active(ours, n):
    return (await ours.counts())[JobState.ACTIVE] == n


async def run_again(ours, ids):
    """Whether all of these jobs run, and for the second time."""
    jobs = [await ours.get(job_id) for job_id in ids]
    return all(job.state is JobState.ACTIVE and job.attempts_started == 2 for job in jobs)


async def ended_once(theirs, ids):
    """Whether the stream of events tells of one end for each job."""
    for job_id in ids:
        await theirs.heard("completed", jobId=job_id)
    ends = Counter(one["jobId"] for one in theirs.all_heard("completed"))
    return ends == dict.fromkeys(ids, 1) and not theirs.all_heard("failed")


async def nothing_is_left(theirs, **expected):
    """Whether BullMQ counts so many jobs, and no others."""
    counts = {state: n for state, n in (await theirs.call("getJobCounts")).items() if n}
    return counts == expected
