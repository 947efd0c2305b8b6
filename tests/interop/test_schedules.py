"""Job schedulers that either side makes and either side carries on."""

from collections import Counter
from itertools import pairwise

import pytest

from tests.interop.waiting import until
from toril.model.job import QueueRef
from toril.model.job_options import JobOptions
from toril.model.schedule import Schedule

QUEUE = QueueRef("bull", "q")
EVERY = 200  # ms
EVERY_SECOND = "* * * * * *"
TICKS = 5
LEASE = 4  # seconds: long enough for a busy machine to renew in time
NODE_LEASE = {"lockDuration": 4000, "stalledInterval": 500}
RULES = {
    "interval": ({"every": EVERY}, {"every_ms": EVERY}, EVERY),
    "pattern": ({"pattern": EVERY_SECOND, "tz": "UTC"}, {"cron": EVERY_SECOND}, 1000),
}


@pytest.fixture(params=RULES)
def rule(request):
    """A rule as BullMQ is given it and as Toril is, and its time between two jobs."""
    return RULES[request.param]


@pytest.fixture
def engine(manager, ours):
    return manager.engine


async def make(engine, schedule_id="s", **rule):
    return await engine.schedules.upsert(QUEUE, Schedule.of(schedule_id, name="echo", **rule))


async def make_theirs(theirs, schedule_id="s", *, name="echo", **rule):
    return await theirs.call("upsertJobScheduler", schedule_id, rule, {"name": name})


# Made by one side, carried on by the other


async def test_toril_carries_on_what_node_made(theirs, ours, work, rule):
    theirs_rule, _, apart = rule
    await theirs.follow()
    await make_theirs(theirs, **theirs_rule)

    await work()

    assert await ticks(theirs, apart) >= TICKS


async def test_node_carries_on_what_toril_made(theirs, engine, rule):
    _, ours_rule, apart = rule
    await theirs.follow()
    await make(engine, **ours_rule)

    await theirs.work()

    assert await ticks(theirs, apart) >= TICKS


async def test_both_carry_a_schedule_on_at_once(theirs, engine, work, rule):
    theirs_rule, ours_rule, apart = rule
    await theirs.follow()
    await make(engine, "ours", **ours_rule)
    await make_theirs(theirs, "theirs", **theirs_rule)

    await theirs.work(concurrency=3, name="node")
    await work(concurrency=3)

    assert await ticks(theirs, apart, "ours", least=8) >= 8
    assert await ticks(theirs, apart, "theirs", least=8) >= 8


@pytest.mark.parametrize("first", ["node", "toril"])
async def test_a_schedule_goes_from_one_side_to_the_other_and_back(theirs, engine, work, first):
    await theirs.follow()
    await make(engine, every_ms=EVERY)
    second = "toril" if first == "node" else "node"
    for side in (first, second, first):
        before = len(done(theirs, "s"))
        worker = await (theirs.work() if side == "node" else work())
        await until(lambda n=before + 3: len(done(theirs, "s")) >= n)
        await theirs.rest() if worker is None else worker.stop()

    assert await ticks(theirs, EVERY, least=9) >= 9


async def test_jobs_that_were_missed_are_left_out(theirs, ours, work):
    await theirs.follow()
    await make_theirs(theirs, every=EVERY)
    first = int((await next_of(theirs)).rpartition(":")[2])
    await until(lambda: is_past(theirs, first + 4 * EVERY))

    await work()

    assert await ticks(theirs, EVERY, least=2) >= 2
    assert done(theirs, "s")[1] > first + 4 * EVERY


# Limits and ends


@pytest.mark.parametrize("worker", ["node", "toril"])
@pytest.mark.parametrize("maker", ["node", "toril"])
async def test_a_limit_ends_a_schedule(theirs, engine, work, maker, worker):
    await theirs.follow()
    if maker == "node":
        await make_theirs(theirs, every=50, limit=3)
    else:
        await make(engine, every_ms=50, limit=3)

    await (theirs.work() if worker == "node" else work())

    await until(lambda: len(done(theirs, "s")) == 3)
    await theirs.add("echo", delay=300)
    await until(lambda: no_job_is_left(theirs))
    assert len(done(theirs, "s")) == 3


@pytest.mark.parametrize("worker", ["node", "toril"])
async def test_an_end_ends_a_schedule_of_a_pattern(theirs, engine, work, worker):
    await theirs.follow()
    first = await make(engine, cron=EVERY_SECOND)
    await make(engine, cron=EVERY_SECOND, end_ms=first + 1500)

    await (theirs.work() if worker == "node" else work())

    await until(lambda: no_job_is_left(theirs))
    assert done(theirs, "s")[-1] <= first + 1500


# Seen and changed by the other side


async def test_node_sees_what_toril_made(theirs, engine):
    options = JobOptions.of({"attempts": 3, "priority": 7, "tags": ["t"]})
    schedule = Schedule.of(
        "s",
        cron="0 9 * * MON-FRI",
        tz="Europe/Berlin",
        limit=7,
        end_ms=4_000_000_000_000,
        name="echo",
        data='{"a":[1,{}]}',
        options=options,
    )
    due = await engine.schedules.upsert(QUEUE, schedule)

    seen = {
        "key": "s",
        "name": "echo",
        "next": due,
        "iterationCount": 1,
        "limit": 7,
        "endDate": 4_000_000_000_000,
        "tz": "Europe/Berlin",
        "pattern": "0 9 * * MON-FRI",
        "template": {
            "data": {"a": [1, {}]},
            "opts": {"attempts": 3, "priority": 7, "tags": ["t"]},
        },
    }
    assert await theirs.call("getJobScheduler", "s") == seen
    assert await theirs.call("getJobSchedulers") == [seen]
    job = await theirs.look(f"repeat:s:{due}")
    assert (job["name"], job["data"], job["priority"]) == ("echo", {"a": [1, {}]}, 7)
    assert job["opts"]["repeat"]["pattern"] == "0 9 * * MON-FRI"


async def test_toril_sees_what_node_made(theirs, engine):
    await theirs.call(
        "upsertJobScheduler",
        "s",
        {"every": 60_000, "offset": 5, "limit": 9},
        {"name": "echo", "data": {"a": 1}, "opts": {"attempts": 4}},
    )

    (found,) = await engine.schedules.all(QUEUE)

    schedule = found.schedule
    assert (schedule.id, schedule.name, schedule.data) == ("s", "echo", '{"a":1}')
    assert (schedule.every_ms, schedule.offset_ms, schedule.limit) == (60_000, 5, 9)
    assert schedule.options.attempts == 4
    assert found.iterations == 1
    assert await next_of(theirs) == f"repeat:s:{found.next_ms}"


async def test_either_side_removes_what_the_other_made(theirs, engine):
    await make(engine, "ours", cron="0 0 1 1 *")
    await make_theirs(theirs, "theirs", pattern="0 0 1 1 *")

    assert await theirs.call("removeJobScheduler", "ours") is True
    assert await engine.schedules.remove(QUEUE, "theirs") is True

    assert await theirs.call("getJobSchedulers") == []
    assert await no_job_is_left(theirs)


@pytest.mark.parametrize("changer", ["node", "toril"])
async def test_either_side_changes_the_interval_of_a_schedule_that_runs(
    theirs, engine, work, changer
):
    await theirs.follow()
    await make(engine, every_ms=EVERY)
    await work()
    await ticks(theirs, EVERY, least=2)

    if changer == "node":
        await make_theirs(theirs, every=90)
    else:
        await make(engine, every_ms=90)
    first = (await theirs.call("getJobScheduler", "s"))["next"]

    def changed():
        return [due for due in done(theirs, "s") if due >= first]

    await until(lambda: len(changed()) >= 6)
    assert {due % 90 for due in changed()} == {first % 90}
    assert not twice(theirs)


async def test_neither_side_removes_the_job_that_carries_a_schedule_on(theirs, engine):
    due = await make(engine, cron="0 0 1 1 *")

    await theirs.call("drain", True)
    assert await engine.queues.drain(QUEUE, delayed=True) == 0
    assert await theirs.state(f"repeat:s:{due}") == "delayed"


# Failures


async def test_a_failed_job_that_is_retried_does_not_double_the_chain(theirs, engine, work):
    await theirs.follow()
    await engine.schedules.upsert(
        QUEUE, Schedule.of("s", every_ms=60_000, name="hopeless", data='{"reason":"no"}')
    )
    await work()
    failed = await theirs.heard("failed")

    await theirs.job(failed["jobId"], "retry")

    await until(lambda: len(theirs.all_heard("failed")) == 2)
    counts = await theirs.call("getJobCounts")
    assert (counts["failed"], counts["delayed"]) == (1, 1)


async def test_the_schedule_of_a_killed_toril_worker_goes_on_at_node(
    theirs, engine, start_toril_worker
):
    await theirs.follow()
    victim = await start_toril_worker("q", lease=LEASE)
    await engine.schedules.upsert(QUEUE, Schedule.of("s", every_ms=EVERY, name="hold"))
    await until(lambda: theirs.all_heard("active"))
    victim.kill()

    await theirs.work(concurrency=5, **NODE_LEASE)

    await until(lambda: has_released(theirs, TICKS))
    assert not twice(theirs)


async def test_the_schedule_of_a_killed_node_worker_goes_on_at_toril(
    theirs, engine, start_node, work, gate
):
    await theirs.follow()
    victim = await start_node()
    await victim.queue("q").work(concurrency=5, **NODE_LEASE)
    await make_theirs(theirs, name="hold", every=EVERY)
    await until(lambda: theirs.all_heard("active"))
    victim.kill()

    gate.take_away()
    await work(lease=LEASE)

    await until(lambda: theirs.all_heard("stalled"))
    await until(lambda: len(done(theirs, "s")) >= TICKS)
    assert not twice(theirs)


# What the tests look at


def done(theirs, schedule_id):
    """Return when the jobs of a schedule were due that have completed, in their order."""
    ids = {one["jobId"] for one in theirs.all_heard("completed")}
    return sorted(
        int(one.rpartition(":")[2]) for one in ids if one.startswith(f"repeat:{schedule_id}:")
    )


def twice(theirs):
    """Return the jobs that completed more than once, or were added so."""
    return [
        job_id
        for event in ("completed", "added")
        for job_id, n in Counter(one["jobId"] for one in theirs.all_heard(event)).items()
        if n > 1
    ]


async def ticks(theirs, apart, schedule_id="s", *, least=TICKS):
    """Wait for jobs of a schedule; return how many came, each once and none left out.

    Only where a job was taken after the next was due may some be missing.
    """
    await until(lambda: len(done(theirs, schedule_id)) >= least)
    dues = done(theirs, schedule_id)
    for due, following in pairwise(dues):
        taken = (await theirs.look(f"repeat:{schedule_id}:{due}"))["processedOn"]
        missed = max(taken - due, 0) // apart
        assert apart <= following - due <= (missed + 1) * apart
        assert (following - due) % apart == 0
    assert not twice(theirs)
    return len(dues)


async def has_released(theirs, n):
    """Let go what a worker of Node's holds now; return whether so many have completed."""
    await theirs.node.release()
    return len(done(theirs, "s")) >= n


async def next_of(theirs):
    (job,) = await theirs.call("getJobs", ["delayed", "waiting"])
    return job["id"]


async def is_past(theirs, ms):
    """Whether the server's time is past another: told by a job's timestamp."""
    job_id = await theirs.add("echo")
    return (await theirs.look(job_id))["timestamp"] > ms


async def no_job_is_left(theirs):
    counts = await theirs.call("getJobCounts", "waiting", "active", "delayed", "prioritized")
    return sum(counts.values()) == 0
