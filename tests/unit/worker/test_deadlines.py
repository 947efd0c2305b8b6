import asyncio

import pytest

from toril.worker.deadlines import Deadlines


@pytest.fixture
async def deadlines():
    deadlines = Deadlines()
    yield deadlines
    deadlines.close()


async def test_a_deadline_rings_after_its_time_and_not_before(deadlines):
    loop = asyncio.get_running_loop()
    rang = loop.create_future()
    started = loop.time()
    deadlines.add(0.1, lambda: rang.set_result(loop.time()))

    assert await rang - started >= 0.1


async def test_deadlines_ring_in_the_order_of_their_times(deadlines):
    order, done = [], asyncio.Event()
    deadlines.add(0.15, lambda: (order.append("last"), done.set()))
    deadlines.add(0.05, lambda: order.append("first"))
    deadlines.add(0.1, lambda: order.append("second"))
    await done.wait()

    assert order == ["first", "second", "last"]


async def test_a_deadline_that_is_discarded_does_not_ring(deadlines):
    heard, done = [], asyncio.Event()
    forgotten = deadlines.add(0.05, lambda: heard.append("forgotten"))
    deadlines.add(0.05, lambda: heard.append("kept"))
    deadlines.add(0.1, done.set)
    deadlines.discard(forgotten)
    await done.wait()

    assert heard == ["kept"]


async def test_a_deadline_that_is_over_can_be_discarded(deadlines):
    done = asyncio.Event()
    deadline = deadlines.add(0, done.set)
    await done.wait()

    deadlines.discard(deadline)


async def test_an_earlier_deadline_may_come_after_a_later_one(deadlines):
    done = asyncio.Event()
    deadlines.add(3600, lambda: None)
    deadlines.add(0.02, done.set)

    await done.wait()


async def test_a_deadline_may_set_another(deadlines):
    done = asyncio.Event()
    deadlines.add(0.02, lambda: deadlines.add(0.02, done.set))

    await done.wait()


async def test_a_deadline_that_fails_does_not_stop_the_others(deadlines):
    failed, done = [], asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: failed.append(context["exception"]))
    deadlines.add(0.02, lambda: 1 / 0)
    deadlines.add(0.02, lambda: None)
    deadlines.add(0.06, done.set)
    await done.wait()

    assert [type(error) for error in failed] in ([], [ZeroDivisionError])


async def test_after_the_end_nothing_rings(deadlines):
    heard, done = [], asyncio.Event()
    deadlines.add(0.02, lambda: heard.append(1))
    deadlines.close()
    asyncio.get_running_loop().call_later(0.1, done.set)
    await done.wait()

    assert heard == []
