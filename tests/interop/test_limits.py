"""Pauses and limits, whoever sets them: both sides keep to them."""

import pytest
from redis.asyncio import Redis

from tests.interop.waiting import until, until_state
from toril import JobState, QueueManager, RateLimit, Settings
from toril.engine.contract.hot_path import Fetch
from toril.engine.redis import RedisEngine
from toril.engine.redis.connection.endpoint import parse

WINDOW = 3_600_000  # ms: nobody sees its end
CLOCKS_DIFFER = 2  # ms: Node writes its own time, and the server ends the window
SIDES = ["theirs", "ours"]


@pytest.fixture
async def pause(theirs, ours):
    """Pause, or resume, by one of both."""

    async def do(side, what="pause"):
        await (theirs.call(what) if side == "theirs" else getattr(ours, what)())

    return do


@pytest.fixture
async def work_by(theirs, work):
    """Start a worker of one of both."""

    async def start(side):
        await (theirs.work(concurrency=5) if side == "theirs" else work(concurrency=5))

    return start


@pytest.mark.parametrize("resumer", SIDES)
@pytest.mark.parametrize("worker", SIDES)
@pytest.mark.parametrize("pauser", SIDES)
async def test_a_pause_is_kept_by_both_and_ended_by_both(
    theirs, ours, pause, work_by, pauser, worker, resumer
):
    await work_by(worker)
    await (await ours.add("echo")).result(15)
    await pause(pauser)
    assert await theirs.call("isPaused")
    assert (await ours.info()).paused

    mine, other = await ours.add("echo", {"n": 1}), await theirs.add("echo", {"n": 2})
    assert await still_waiting(ours, 2)
    await pause(resumer, "resume")

    assert await mine.result(15) == {"n": 1}
    assert await theirs.finished(other) == {"n": 2}
    assert not await theirs.call("isPaused")
    assert not (await ours.info()).paused


@pytest.mark.parametrize("worker", SIDES)
async def test_delayed_jobs_and_priorities_wait_for_the_end_of_a_pause(
    theirs, ours, work_by, worker
):
    await work_by(worker)
    await ours.pause()
    urgent = await theirs.add("echo", {"n": 1}, priority=1)
    soon = await ours.add("echo", {"n": 2}, delay=0.05)
    assert await still_waiting(ours, 2)

    await theirs.call("resume")

    assert await theirs.finished(urgent) == {"n": 1}
    assert await soon.result(15) == {"n": 2}


async def still_waiting(ours, n):
    """Whether nothing was taken."""
    states = (JobState.WAITING, JobState.PRIORITIZED, JobState.DELAYED)
    counts = await ours.counts()
    return sum(counts[state] for state in states) == n and not counts[JobState.ACTIVE]


@pytest.mark.parametrize("side", SIDES)
async def test_a_concurrency_of_either_is_one_for_both(
    theirs, ours, server, node, gate, work, side
):
    if side == "theirs":
        await theirs.call("setGlobalConcurrency", 3)
    else:
        await register_again(server, concurrency=3)
    assert (await ours.info()).concurrency == 3
    assert await theirs.call("getGlobalConcurrency") == 3
    handles = [await ours.add("hold") for _ in range(7)]

    await theirs.work(concurrency=5)
    await work(concurrency=5)

    seen = set()
    for _ in range(50):
        counts = await until(lambda: counts_when_active(ours, 3))
        seen.add(counts[JobState.ACTIVE])
    assert seen == {3}
    await release_until_all_ran(ours, node, gate, 7, most=3)
    assert {(await handle.job()).state for handle in handles} == {JobState.COMPLETED}


async def counts_when_active(ours, n):
    counts = await ours.counts()
    return counts if counts[JobState.ACTIVE] >= n else None


async def release_until_all_ran(ours, node, gate, n, *, most):
    """Let the jobs named `hold` go on, and see that no more than allowed run at a time."""

    async def ended():
        counts = await ours.counts()
        assert counts[JobState.ACTIVE] <= most
        gate.release()
        await node.release()
        return counts[JobState.COMPLETED] == n

    await until(ended)


@pytest.mark.parametrize("worker", SIDES)
async def test_a_concurrency_that_is_lifted_lets_the_rest_run(theirs, ours, work_by, worker):
    await theirs.call("setGlobalConcurrency", 1)
    await work_by(worker)
    handles = [await ours.add("hold") for _ in range(3)]
    await until(lambda: counts_when_active(ours, 1))

    await theirs.call("removeGlobalConcurrency")
    last = await ours.add("echo", {"n": 1})

    assert await last.result(15) == {"n": 1}
    for handle in handles:
        await until_state(handle, JobState.ACTIVE)


@pytest.mark.parametrize("worker", SIDES)
@pytest.mark.parametrize("setter", SIDES)
async def test_a_rate_limit_of_either_is_kept_by_both(
    theirs, ours, server, work_by, setter, worker
):
    await set_rate(theirs, server, setter, 3)
    assert (await ours.info()).rate_limit == RateLimit(3, per=WINDOW / 1000)
    assert await theirs.call("getGlobalRateLimit") == {"max": 3, "duration": WINDOW}
    await ours.add_bulk([{"name": "echo"}] * 10)

    await work_by(worker)

    await until(lambda: completed(ours, 3))
    assert 0 < await theirs.call("getRateLimitTtl", 3) <= WINDOW
    counts = await ours.counts()
    assert (counts[JobState.COMPLETED], counts[JobState.WAITING]) == (3, 7)


async def test_a_rate_limit_counts_the_jobs_of_both(theirs, ours, server, work):
    await set_rate(theirs, server, "ours", 6)
    await ours.add_bulk([{"name": "echo"}] * 4)
    await theirs.work(concurrency=1)
    await until(lambda: completed(ours, 4))
    await theirs.rest()

    await ours.add_bulk([{"name": "echo"}] * 4)
    await work()

    await until(lambda: completed(ours, 6))
    assert await theirs.call("getRateLimitTtl", 6) > 0
    assert (await ours.counts())[JobState.WAITING] == 2


@pytest.mark.parametrize("worker", SIDES)
async def test_a_short_window_ends_by_itself(theirs, ours, server, work_by, worker):
    await set_rate(theirs, server, "ours", 2, window=100)
    handles = await ours.add_bulk([{"name": "echo"}] * 6)

    await work_by(worker)

    for handle in handles:
        await handle.result(15)
    starts = sorted([(await handle.job()).started_ms for handle in handles])
    assert starts[2] - starts[0] >= 100 - CLOCKS_DIFFER
    assert starts[4] - starts[2] >= 100 - CLOCKS_DIFFER


async def test_an_idle_worker_of_nodes_comes_when_the_window_ends_of_a_toril_that_died(
    theirs, ours, server
):
    await theirs.work(drainDelay=30)
    await until(lambda: is_idle(server))
    await set_rate(theirs, server, "ours", 1, window=500)
    await add_unheard(server, "first", "second")
    engine = RedisEngine(parse(server.url))

    answer = await engine.exchange(ours.ref, [], Fetch(2, "gone", 60_000))
    await engine.close()

    assert [lease.id for lease in answer.leases] == ["first"]
    assert await theirs.finished("second") == {}
    assert (await theirs.look("second"))["processedOn"] >= answer.limited_until - CLOCKS_DIFFER


async def is_idle(server):
    async with Redis(port=server.port, decode_responses=True) as redis:
        return any(client["cmd"] == "bzpopmin" for client in await redis.client_list())


async def add_unheard(server, *ids):
    """Add jobs so that no idle worker hears of them."""
    async with Redis(port=server.port) as redis:
        for one in ids:
            fields = {"name": "echo", "data": "{}", "opts": "{}", "timestamp": 1}
            await redis.hset(f"bull:q:{one}", mapping={**fields, "delay": 0, "priority": 0})
            await redis.lpush("bull:q:wait", one)


async def test_a_queue_that_node_stopped_by_hand_rests_in_toril_too(theirs, ours, work):
    await theirs.call("setGlobalRateLimit", 100, 1000)
    await theirs.call("rateLimit", WINDOW)
    handle = await ours.add("echo", {"n": 1})

    await work()
    other = await ours.add("echo", {"n": 2})
    assert await theirs.call("getRateLimitTtl") > 0
    assert await still_waiting(ours, 2)
    await theirs.call("removeRateLimitKey")
    await theirs.call("removeGlobalRateLimit")
    third = await ours.add("echo", {"n": 3})

    assert [await h.result(15) for h in (handle, other, third)] == [{"n": 1}, {"n": 2}, {"n": 3}]


async def completed(ours, n):
    return (await ours.counts())[JobState.COMPLETED] == n


async def set_rate(theirs, server, side, most, *, window=WINDOW):
    if side == "theirs":
        await theirs.call("setGlobalRateLimit", most, window)
    else:
        await register_again(server, rate_limit=RateLimit(most, per=window / 1000))


async def register_again(server, **limits):
    """Set limits as another Toril service does."""
    async with QueueManager(server.url, settings=Settings()) as manager:
        manager.register_queue("q", **limits)
        await manager.open()
