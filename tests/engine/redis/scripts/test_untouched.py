"""What a call does not concern stays as it is: no key is made, none is lost."""

from __future__ import annotations

import pytest

from toril.engine.contract.hot_path import Fetch, Note
from toril.engine.redis import RedisEngine
from toril.engine.redis.connection.wire import Wire
from toril.model.job import Lease, NewJob, QueueRef
from toril.model.job_options import JobOptions, encode_options
from toril.model.state import JobState

QUEUE = QueueRef("bull", "work")
PLAIN = JobOptions.of({})


def job(job_id: str) -> NewJob:
    return NewJob(job_id, "send", "{}", PLAIN, encode_options(PLAIN))


async def fetch(engine: RedisEngine, limit: int = 1) -> list[Lease]:
    return list((await engine.exchange(QUEUE, [], Fetch(limit, "worker", 60_000))).leases)


async def keys(wire: Wire) -> set[str]:
    return set(await wire.call("KEYS", "*"))


async def test_adding_nothing_makes_a_queue_and_no_more(engine: RedisEngine, wire: Wire) -> None:
    assert await engine.add(QUEUE, []) == []
    assert await keys(wire) == {"bull:work:meta", "toril:queues"}


@pytest.mark.parametrize("what", ["note", "promote", "retry", "remove", "cancel", "rescue"])
async def test_a_call_with_nothing_makes_no_key(engine: RedisEngine, wire: Wire, what: str) -> None:
    await engine.queues.register(QUEUE)
    before = await keys(wire)
    part = engine if what in {"note", "rescue"} else engine.jobs
    await getattr(part, what)(QUEUE, 1 if what == "rescue" else [])
    assert await keys(wire) == before


async def test_a_note_for_a_queue_that_is_gone_does_not_bring_it_back(
    engine: RedisEngine, wire: Wire
) -> None:
    await engine.add(QUEUE, [job("a")])
    (lease,) = await fetch(engine)
    await engine.queues.obliterate(QUEUE, force=True)
    before = await keys(wire)
    await engine.note(QUEUE, [Note(lease, "50", ["a line"])])
    assert await keys(wire) == before


@pytest.mark.parametrize("limit", [1, 2])
async def test_jobs_whose_records_are_gone_are_passed_over_and_the_marker_stays_for_the_others(
    engine: RedisEngine, wire: Wire, limit: int
) -> None:
    await engine.add(QUEUE, [job(one) for one in "abcde"])
    await wire.call("DEL", *("bull:work:a", "bull:work:b")[:limit])
    await wire.call("DEL", "bull:work:marker")
    assert [lease.id for lease in await fetch(engine, limit)] == (["b"], ["c", "d"])[limit - 1]
    assert await wire.call("ZSCORE", "bull:work:marker", "0") == "0"


async def test_a_job_that_was_to_be_failed_and_is_cancelled_is_no_more_to_be_failed(
    engine: RedisEngine, wire: Wire
) -> None:
    await engine.add(QUEUE, [job("a")])
    await fetch(engine)
    await wire.call("DEL", "bull:work:a:lock")
    await engine.rescue(QUEUE, 0)
    assert await wire.call("HEXISTS", "bull:work:a", "defa")

    await engine.jobs.cancel(QUEUE, ["a"])

    (found,) = await engine.jobs.get(QUEUE, ["a"])
    assert found is not None
    assert found.state is JobState.FAILED
    assert not await wire.call("HEXISTS", "bull:work:a", "defa")
