"""Waiting for results: what comes of it where the store fails."""

import asyncio

from tests.worker.waiting import until
from toril.errors import StoreUnavailableError
from toril.model.job import QueueRef
from toril.queues.results import Results

QUEUE = QueueRef("bull", "q")


class Store:
    """A store in which nothing happens until it fails."""

    def __init__(self):
        self.fails = asyncio.Event()
        self.events = self.jobs = self

    async def tails(self, queues):
        return dict.fromkeys(queues, "0")

    async def endings(self, queue, ids):
        return dict.fromkeys(ids)

    async def read(self, cursors, *, timeout):
        await self.fails.wait()
        raise StoreUnavailableError("the store is away")


async def test_those_who_wait_are_told_that_the_store_failed():
    store = Store()
    results = Results(lambda: store)
    waiting = [asyncio.create_task(results.of(QUEUE, name)) for name in "ab"]
    await asyncio.sleep(0.01)

    store.fails.set()

    found = await asyncio.gather(*waiting, return_exceptions=True)
    assert [str(error) for error in found] == ["the store is away"] * 2


async def test_a_failure_that_comes_as_the_program_ends_is_no_error_that_nobody_looked_at():
    store = Store()
    results = Results(lambda: store)
    waiting = asyncio.create_task(results.of(QUEUE, "a"))
    await until(lambda: any(one._reading for one in results._followers.values()))
    (follower,) = results._followers.values()
    await asyncio.sleep(0.01)
    store.fails.set()
    await asyncio.sleep(0)
    reading = follower._reading
    assert reading.done()

    for task in (follower._task, waiting):  # as `asyncio.run` does
        task.cancel()
    await asyncio.gather(follower._task, waiting, return_exceptions=True)

    assert not reading._log_traceback  # else asyncio reports it when it is collected
