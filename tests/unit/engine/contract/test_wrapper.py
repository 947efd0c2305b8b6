"""The seam around an engine: one function sees every call."""

import pytest

from tests.conformance.support import QUEUE, job
from toril.engine.contract.wrapper import wrapped
from toril.engine.sqlite import SqliteEngine
from toril.errors import StoreUnavailableError


@pytest.fixture
async def inner():
    engine = SqliteEngine(None)
    yield engine
    await engine.close()


async def test_every_call_of_an_engine_and_of_its_parts_is_seen_by_its_name(inner):
    seen = []

    async def around(name, call):
        seen.append(name)
        return await call()

    engine = wrapped(inner, around)
    await engine.queues.register(QUEUE)
    await engine.add(QUEUE, [job("a")])
    (found,) = await engine.jobs.get(QUEUE, ["a"])
    await engine.events.tails([QUEUE])

    assert found.id == "a"
    assert seen == ["queues.register", "add", "jobs.get", "events.tails"]


async def test_what_is_no_call_passes_as_it_is(inner):
    async def around(name, call):
        raise AssertionError(name)

    engine = wrapped(inner, around)

    assert engine.location == inner.location
    assert engine.capabilities == inner.capabilities
    engine.check_follow_ups(QUEUE, QUEUE)
    engine.keeper().close()


async def test_a_call_may_be_refused_or_made_again(inner):
    failures = [StoreUnavailableError("away")]

    async def around(name, call):
        if failures:
            raise failures.pop()
        await call()
        return await call()

    engine = wrapped(inner, around)
    with pytest.raises(StoreUnavailableError):
        await engine.add(QUEUE, [job("a")])
    (again,) = await engine.add(QUEUE, [job("a")])

    assert again.status == "duplicate"
    assert (await inner.queues.counts(QUEUE))["waiting"] == 1
