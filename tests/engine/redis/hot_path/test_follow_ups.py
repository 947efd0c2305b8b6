"""Follow-ups when replies are lost, memory is full, or the queues are far apart."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.conformance.support import OTHER_QUEUE, QUEUE, error, job
from tests.engine.redis.proxy import Proxy
from tests.redis_groups import Cluster
from toril.application.stores import open_engine
from toril.engine.contract.engine import Engine
from toril.engine.contract.hot_path import Fetch
from toril.engine.redis import RedisEngine
from toril.engine.redis.connection.wire import Wire
from toril.errors import StoreBusyError, StoreFullError, UnsupportedError
from toril.model.job import Lease, QueueRef
from toril.model.settlement import Complete, Fail, FollowUp, follow_up_id
from toril.model.state import JobState

FETCH = Fetch(1, "worker", 30_000)
FAR = QueueRef("{other}", "far-away")


def follow_up(lease: Lease, queue: QueueRef = OTHER_QUEUE) -> FollowUp:
    return FollowUp(queue, job(follow_up_id(lease), '{"a":1}'), with_errors=True)


async def fetched(engine: Engine) -> Lease:
    await engine.add(QUEUE, [job("a")])
    (lease,) = (await engine.exchange(QUEUE, [], FETCH)).leases
    return lease


async def test_a_settlement_whose_reply_was_lost_adds_its_follow_up_once(
    far: RedisEngine, engine: RedisEngine, proxy: Proxy
) -> None:
    lease = await fetched(far)
    settlement = Fail(lease, error(lease, "lost-reply"), None, (follow_up(lease),))
    proxy.lose_replies_to(b"lost-reply", times=1)
    with pytest.raises(StoreBusyError):
        await far.exchange(QUEUE, [settlement], FETCH)
    assert await engine.jobs.remove(OTHER_QUEUE, [follow_up_id(lease)]) == [follow_up_id(lease)]

    answer = await far.exchange(QUEUE, [settlement], FETCH)

    assert list(answer.results) == [None]
    assert sum((await engine.queues.counts(OTHER_QUEUE)).values()) == 0


async def test_under_full_memory_a_settlement_is_taken_with_its_follow_up(
    engine: RedisEngine, wire: Wire
) -> None:
    lease = await fetched(engine)
    await engine.queues.register(OTHER_QUEUE)
    await wire.call("CONFIG", "SET", "maxmemory", "1mb")
    try:
        with pytest.raises(StoreFullError):
            await engine.add(OTHER_QUEUE, [job("refused")])
        settlement = Fail(lease, error(lease), None, (follow_up(lease),))
        answer = await engine.exchange(QUEUE, [settlement], None)
    finally:
        await wire.call("CONFIG", "SET", "maxmemory", "0")

    assert list(answer.results) == [None]
    (added,) = await engine.jobs.get(OTHER_QUEUE, [follow_up_id(lease)])
    assert added is not None
    assert [one["attempt"] for one in added.data["errors"]] == [1]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    made = Cluster(tmp_path_factory.mktemp("cluster"))
    made.start()
    yield made
    made.stop()


@pytest.fixture
async def on_cluster(cluster: Cluster) -> AsyncIterator[Engine]:
    made = open_engine(cluster.url)
    yield made
    await made.close()


async def test_on_a_cluster_a_follow_up_in_another_hash_slot_is_refused_with_the_fix(
    on_cluster: Engine,
) -> None:
    lease = await fetched(on_cluster)
    fix = r"in one hash slot. Give them the same hash tag"

    with pytest.raises(UnsupportedError, match=fix):
        on_cluster.check_follow_ups(QUEUE, FAR)
    with pytest.raises(UnsupportedError, match=fix):
        await on_cluster.exchange(
            QUEUE, [Complete(lease, None, None, (follow_up(lease, FAR),))], None
        )

    (untouched,) = await on_cluster.jobs.get(QUEUE, ["a"])
    assert untouched is not None
    assert untouched.state is JobState.ACTIVE
    assert FAR not in [info.ref for info in await on_cluster.queues.all()]


async def test_on_a_cluster_queues_of_one_hash_tag_may_follow_each_other(
    on_cluster: Engine,
) -> None:
    on_cluster.check_follow_ups(QUEUE, OTHER_QUEUE)
    on_cluster.check_follow_ups(QueueRef("bull", "{a}:one"), QueueRef("bull", "{a}:two"))
