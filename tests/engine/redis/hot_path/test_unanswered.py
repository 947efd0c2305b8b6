"""What a lost reply costs: nothing is added twice, settled twice, or forgotten."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from tests.conformance.support import QUEUE, job, jobs
from tests.engine.redis.proxy import Proxy
from toril.engine.contract.hot_path import AddStatus, Batch, Fetch, Refusal
from toril.engine.redis import RedisEngine
from toril.engine.redis.hot_path import marker
from toril.errors import StoreBusyError, StoreUnavailableError
from toril.model.settlement import Complete

FETCH = Fetch(2, "worker", 30_000)


async def test_a_batch_whose_reply_was_lost_is_added_once(
    far: RedisEngine, engine: RedisEngine, proxy: Proxy
) -> None:
    proxy.lose_replies_to(b"a-job", times=1)
    added = await far.add(QUEUE, jobs("a-job", "b-job"))
    assert [one.id for one in added] == ["a-job", "b-job"]
    assert sum((await engine.queues.counts(QUEUE)).values()) == 2


async def test_a_batch_sent_again_is_not_added_again_though_its_jobs_are_gone(
    far: RedisEngine, engine: RedisEngine, proxy: Proxy
) -> None:
    batch = Batch("producer", 7)
    proxy.lose_replies_to(b"late-job", times=1)
    with pytest.raises(StoreBusyError):
        await far.add(QUEUE, [job("late-job")], batch)
    assert await engine.jobs.remove(QUEUE, ["late-job"]) == ["late-job"]
    (again,) = await far.add(QUEUE, [job("late-job")], batch)
    assert again.status is AddStatus.DUPLICATE
    assert sum((await engine.queues.counts(QUEUE)).values()) == 0


async def test_who_gets_no_reply_at_all_is_told_that_it_is_not_known(
    far: RedisEngine, proxy: Proxy
) -> None:
    await far.add(QUEUE, [job("first")])  # the server knows the script from now on
    proxy.lose_replies_to(b"a-job", times=2)
    with pytest.raises(StoreBusyError, match="before the reply came"):
        await far.add(QUEUE, [job("a-job")])
    (added,) = await far.add(QUEUE, [job("a-job")])
    assert added.status is AddStatus.DUPLICATE


async def test_an_add_is_in_doubt_when_its_reply_was_lost_and_nobody_can_be_asked_again(
    far: RedisEngine, engine: RedisEngine, proxy: Proxy
) -> None:
    await far.queues.counts(QUEUE)
    proxy.lose_replies_to(b"a-job", times=1)
    proxy.shut_the_door()
    with pytest.raises(StoreBusyError, match="before the reply came"):
        await far.add(QUEUE, [job("a-job")])
    assert sum((await engine.queues.counts(QUEUE)).values()) == 1


async def lose_an_exchange(far: RedisEngine, proxy: Proxy) -> list[Complete]:
    """Settle a and b and fetch c and d without hearing of it; return the settlements."""
    await far.add(QUEUE, jobs("a", "b", "c", "d"))
    first = await far.exchange(QUEUE, [], FETCH)
    done = [Complete(lease) for lease in first.leases]
    proxy.lose_replies_to(b"EVALSHA", times=1)
    with pytest.raises(StoreBusyError):
        await far.exchange(QUEUE, done, FETCH)
    return done


async def test_an_exchange_whose_answer_was_lost_is_made_up_for(
    far: RedisEngine, engine: RedisEngine, proxy: Proxy
) -> None:
    done = await lose_an_exchange(far, proxy)
    second = await far.exchange(QUEUE, done, FETCH)
    assert second.results == [None, None]
    assert [lease.id for lease in second.leases] == ["c", "d"]
    assert [lease.attempts_started for lease in second.leases] == [1, 1]
    third = await far.exchange(QUEUE, [Complete(lease) for lease in second.leases], FETCH)
    assert third.results == [None, None]
    again = await far.exchange(QUEUE, done, None)
    assert again.results == [Refusal.LEASE_LOST, Refusal.LEASE_LOST]


async def test_a_settlement_alone_leaves_the_lost_leases_to_the_next_fetch(
    far: RedisEngine, proxy: Proxy
) -> None:
    done = await lose_an_exchange(far, proxy)
    second = await far.exchange(QUEUE, done, None)
    assert second.results == [None, None]
    third = await far.exchange(QUEUE, [], FETCH)
    assert [lease.id for lease in third.leases] == ["c", "d"]


async def test_a_server_that_does_not_answer_is_given_up_in_time(
    far: RedisEngine, proxy: Proxy
) -> None:
    await far.queues.counts(QUEUE)
    proxy.hold = True
    async with asyncio.timeout(10):  # far from the minute that a client with retries takes
        with pytest.raises(StoreBusyError, match=r"no reply within 0\.5 s"):
            await far.queues.counts(QUEUE)


async def test_a_wait_on_a_connection_that_went_silent_is_given_up_in_time(
    far: RedisEngine, engine: RedisEngine, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(marker, "_BLOCK_SECONDS", 1)
    proxy.lose_replies_to(b"BZPOPMIN", times=1)
    waiting = asyncio.create_task(far.wait(QUEUE, None, 0))
    await engine.add(QUEUE, [job("a")])
    async with asyncio.timeout(10):
        with pytest.raises(StoreBusyError, match=r"no reply within 1\.5 s"):
            await waiting


async def test_a_connection_that_was_cut_is_opened_again(far: RedisEngine, proxy: Proxy) -> None:
    await far.add(QUEUE, [job("a")])
    proxy.cut()
    with contextlib.suppress(StoreBusyError, StoreUnavailableError):
        await far.queues.counts(QUEUE)
    added = await far.add(QUEUE, [job("b")])
    assert added[0].status is AddStatus.CREATED
    assert sum((await far.queues.counts(QUEUE)).values()) == 2


async def test_an_exchange_that_was_to_make_up_for_a_lost_one_may_be_lost_as_well(
    far: RedisEngine, engine: RedisEngine, proxy: Proxy
) -> None:
    await far.exchange(QUEUE, [], FETCH)  # the server knows the script from now on
    for ids in (("a", "b"), ("c", "d")):
        await engine.add(QUEUE, jobs(*ids))
        proxy.lose_replies_to(b"#", times=1)
        with pytest.raises(StoreBusyError):
            await far.exchange(QUEUE, [], Fetch(9, "worker", 30_000))
    answer = await far.exchange(QUEUE, [], Fetch(9, "worker", 30_000))
    assert sorted(lease.id for lease in answer.leases) == ["a", "b", "c", "d"]
