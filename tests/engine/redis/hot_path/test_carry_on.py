"""What may come between a schedule's job and the next one."""

from __future__ import annotations

import logging

import pytest

from tests.conformance.support import QUEUE
from tests.engine.redis.proxy import Proxy
from toril.engine.contract.hot_path import Fetch
from toril.engine.redis import RedisEngine
from toril.engine.redis.connection.wire import Wire
from toril.engine.redis.scripts.keys import keys_of
from toril.engine.redis.scripts.script import script
from toril.errors import StoreBusyError
from toril.model.schedule import Schedule
from toril.model.settlement import Complete, Release
from toril.model.state import JobState

FETCH = Fetch(2, "worker", 30_000)
HOURLY = Schedule.of("hourly", every_ms=3_600_000)
KEY = f"{QUEUE.prefix}:work:"


async def iterations(engine: RedisEngine) -> int:
    (found,) = await engine.schedules.all(QUEUE)
    return found.iterations


async def test_a_lost_reply_after_the_pickup_makes_one_next_job_and_loses_no_lease(
    far: RedisEngine, engine: RedisEngine, proxy: Proxy
) -> None:
    due = await engine.schedules.upsert(QUEUE, HOURLY)
    proxy.lose_replies_to(b"repeat:hourly", times=1)  # an exchange that takes does not name it
    with pytest.raises(StoreBusyError):
        await far.exchange(QUEUE, [], FETCH)
    (lease,) = (await far.exchange(QUEUE, [], FETCH)).leases
    assert (lease.id, lease.attempts_started) == (f"repeat:hourly:{due}", 1)
    assert await iterations(engine) == 2
    assert (await engine.queues.counts(QUEUE))[JobState.DELAYED] == 1


async def test_what_was_settled_with_it_is_settled_once(
    far: RedisEngine, engine: RedisEngine, proxy: Proxy
) -> None:
    first = Schedule.of("first", every_ms=3_600_000)
    await engine.schedules.upsert(QUEUE, first)
    (lease,) = (await far.exchange(QUEUE, [], FETCH)).leases
    await engine.schedules.upsert(QUEUE, HOURLY)
    proxy.lose_replies_to(b"repeat:hourly", times=1)
    with pytest.raises(StoreBusyError):
        await far.exchange(QUEUE, [Complete(lease)], FETCH)
    again = await far.exchange(QUEUE, [Complete(lease)], FETCH)
    assert again.results == [None]
    assert [one.id.split(":")[1] for one in again.leases] == ["hourly"]
    counts = await engine.queues.counts(QUEUE)
    assert (counts[JobState.COMPLETED], counts[JobState.DELAYED]) == (1, 2)


async def test_who_takes_a_job_that_a_dead_worker_did_not_carry_on_does(
    engine: RedisEngine, wire: Wire
) -> None:
    due = await engine.schedules.upsert(QUEUE, HOURLY)
    job_id = f"repeat:hourly:{due}"
    await wire.call("LREM", f"{KEY}wait", 1, job_id)
    await wire.call(
        "LPUSH", f"{KEY}active", job_id
    )  # all that a pickup left, once its lock is gone
    assert [one.id for one in await engine.rescue(QUEUE, 1)] == [job_id]
    (lease,) = (await engine.exchange(QUEUE, [], FETCH)).leases
    assert lease.id == job_id
    assert await iterations(engine) == 2


async def test_workers_that_carry_the_same_job_on_at_once_make_one_next_job(
    engine: RedisEngine, wire: Wire
) -> None:
    due = await engine.schedules.upsert(QUEUE, HOURLY)
    job = (f"repeat:hourly:{due}", due + 3_600_000, '{"repeat":{"every":3600000}}', 0, 0)
    answers = [await wire.evaluate(script("advance"), keys_of(QUEUE).all, *job) for _ in range(3)]
    assert answers == [[1], [0], [0]]
    assert await iterations(engine) == 2


async def test_a_rule_that_is_not_understood_is_told_of_and_its_job_runs(
    engine: RedisEngine, wire: Wire, caplog: pytest.LogCaptureFixture
) -> None:
    due = await engine.schedules.upsert(QUEUE, HOURLY)
    own = '{"attempts":1,"repeat":{"pattern":"FREQ=HOURLY","count":1}}'  # a strategy of Node.js's
    await wire.call("HSET", f"{KEY}repeat:hourly:{due}", "opts", own)
    with caplog.at_level(logging.ERROR, "toril.engine"):
        (lease,) = (await engine.exchange(QUEUE, [], FETCH)).leases
    assert lease.id == f"repeat:hourly:{due}"
    told = f"schedule 'hourly' of queue {str(QUEUE)!r} has stopped: cron: 'FREQ=HOURLY'"
    assert told in caplog.text
    assert await iterations(engine) == 1


async def test_options_that_bullmq_does_not_know_go_from_job_to_job_as_they_were(
    engine: RedisEngine, wire: Wire
) -> None:
    due = await engine.schedules.upsert(QUEUE, HOURLY)
    options = (
        '{"metadata":{"none":[],"big":123456789012345678},"repeat":{"every":3600000,"count":1}}'
    )
    await wire.call("HSET", f"{KEY}repeat:hourly:{due}", "opts", options)
    await engine.exchange(QUEUE, [], FETCH)
    kept = await wire.call("HGET", f"{KEY}repeat:hourly:{due + 3_600_000}", "opts")
    assert '"metadata":{"none":[],"big":123456789012345678}' in kept
    assert '"repeat":{"every":3600000,"count":2}' in kept


async def test_a_repeatable_job_of_an_older_bullmq_is_passed_over(
    engine: RedisEngine, wire: Wire
) -> None:
    await engine.schedules.upsert(QUEUE, HOURLY)
    await wire.call("ZADD", f"{KEY}repeat", 1, "mail::::0 9 * * *")
    assert [one.schedule.id for one in await engine.schedules.all(QUEUE)] == ["hourly"]


async def test_a_job_that_is_given_back_does_not_carry_on_again(engine: RedisEngine) -> None:
    await engine.schedules.upsert(QUEUE, HOURLY)
    (lease,) = (await engine.exchange(QUEUE, [], FETCH)).leases
    await engine.exchange(QUEUE, [Release(lease)], FETCH)
    assert await iterations(engine) == 2
