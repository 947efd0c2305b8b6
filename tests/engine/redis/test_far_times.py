"""Times that other programs stored and no job can wait for: they are shown, and harm nothing."""

from __future__ import annotations

import pytest

from tests.conformance.support import QUEUE, job
from toril.admin.documents import job_document
from toril.cli.console import when
from toril.engine.contract.hot_path import Fetch
from toril.engine.redis import RedisEngine
from toril.engine.redis.connection.wire import Wire
from toril.engine.redis.scripts.keys import keys_of
from toril.model.state import JobState

DELAYED = f"{keys_of(QUEUE).base}delayed"


@pytest.mark.parametrize("score", ["9007199254740991", "1e18", "1e300", "+inf"])
async def test_a_job_that_is_due_at_no_possible_time_is_shown(
    engine: RedisEngine, wire: Wire, score: str
) -> None:
    await engine.add(QUEUE, [job("a", delay=60)])
    await wire.call("ZADD", DELAYED, score, "a")
    (found,) = await engine.jobs.get(QUEUE, ["a"])
    assert found is not None
    assert found.due_at is not None
    assert job_document(found)["due_at"] > "2030"
    assert when(found.due_ms)
    page = await engine.jobs.page(QUEUE, states=[JobState.DELAYED])
    assert [one.id for one in page.jobs] == ["a"]


@pytest.mark.parametrize("score", ["9007199254740991", "1e18", "1e300", "+inf"])
async def test_a_worker_waits_for_others_meanwhile(
    engine: RedisEngine, wire: Wire, score: str
) -> None:
    await engine.add(QUEUE, [job("a", delay=60)])
    await wire.call("ZADD", DELAYED, score, "a")
    answer = await engine.exchange(QUEUE, [], Fetch(1, "worker", 60_000))
    assert answer.next_due is not None
    assert answer.next_due > 2_000_000_000_000
    await engine.add(QUEUE, [job("b")])
    answer = await engine.exchange(QUEUE, [], Fetch(1, "worker", 60_000))
    assert [lease.id for lease in answer.leases] == ["b"]


@pytest.mark.parametrize("field", ["timestamp", "processedOn", "finishedOn"])
@pytest.mark.parametrize("number", ["8640000000000001", "1e300", "1e999", "-1e300"])
async def test_a_job_with_an_impossible_time_is_shown(
    engine: RedisEngine, wire: Wire, field: str, number: str
) -> None:
    await engine.add(QUEUE, [job("a")])
    await wire.call("HSET", f"{keys_of(QUEUE).base}a", field, number)
    (found,) = await engine.jobs.get(QUEUE, ["a"])
    assert found is not None
    assert job_document(found)["id"] == "a"
