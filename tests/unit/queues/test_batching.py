"""Natural batching, on the real engine with a counter around its `add`."""

import asyncio

import pytest

from toril.engine.contract.engine import Capabilities
from toril.engine.contract.hot_path import AddStatus
from toril.engine.sqlite import SqliteEngine
from toril.errors import StoreBusyError, StoreFullError, ValidationError
from toril.model.ids import new_id
from toril.model.job import NewJob, QueueRef
from toril.model.job_options import DEFAULT_OPTIONS
from toril.queues.batching import Batcher

_QUEUE = QueueRef("bull", "q")


class CountingEngine(SqliteEngine):
    """The real engine, which writes down how many jobs came with each call."""

    def __init__(self):
        super().__init__(None)
        self.calls = []
        self.called = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()
        self.error = None

    async def add(self, queue, jobs, batch=None):
        self.calls.append(len(jobs))
        self.called.set()
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        return await super().add(queue, jobs, batch)


@pytest.fixture
async def engine():
    engine = CountingEngine()
    yield engine
    await engine.close()


@pytest.fixture
def batcher(engine):
    return Batcher(engine, _QUEUE)


def job(job_id=None, data="null"):
    return NewJob(job_id or new_id(), "n", data, DEFAULT_OPTIONS, '{"attempts":1}')


async def test_a_lone_job_goes_out_at_once(batcher, engine):
    added = await batcher.add(job("mine"))

    assert (added.id, added.status) == ("mine", AddStatus.CREATED)
    assert engine.calls == [1]


async def test_jobs_that_are_added_together_share_a_call(batcher, engine):
    await asyncio.gather(*(batcher.add(job()) for _ in range(100)))

    assert engine.calls == [100]


async def test_jobs_that_come_while_a_call_is_away_share_the_next(batcher, engine):
    engine.gate.clear()
    first = asyncio.create_task(batcher.add(job()))
    await engine.called.wait()
    others = [asyncio.create_task(batcher.add(job())) for _ in range(50)]
    for _ in range(5):
        await asyncio.sleep(0)
    assert engine.calls == [1]
    engine.gate.set()
    await asyncio.gather(first, *others)

    assert engine.calls == [1, 50]


class Remote(CountingEngine):
    """One that says that it works elsewhere."""

    capabilities = Capabilities("remote", durable=False, shared=False, bullmq=False, remote=True)


async def test_two_calls_share_many_jobs_where_the_store_works_elsewhere():
    engine = Remote()
    batcher = Batcher(engine, _QUEUE)
    answers = await asyncio.gather(*(batcher.add(job(f"j{n}")) for n in range(100)))
    alone = await batcher.add(job("alone"))
    await engine.close()

    assert engine.calls == [50, 50, 1]
    assert [answer.id for answer in answers] == [f"j{n}" for n in range(100)]
    assert alone.id == "alone"


async def test_each_waiter_gets_the_answer_to_its_own_job(batcher):
    ids = [f"job-{n}" for n in range(200)]
    answers = await asyncio.gather(*(batcher.add(job(job_id)) for job_id in ids))

    assert [answer.id for answer in answers] == ids


async def test_jobs_keep_their_order(batcher, engine):
    await asyncio.gather(*(batcher.add(job(f"job-{n:03}")) for n in range(200)))

    page = await engine.jobs.page(_QUEUE, states=["waiting"], limit=200)
    assert [found.id for found in page.jobs] == [f"job-{n:03}" for n in range(200)]


async def test_a_call_carries_at_most_a_thousand_jobs(batcher, engine):
    await asyncio.gather(*(batcher.add(job()) for _ in range(2500)))

    assert engine.calls == [1000, 1000, 500]


async def test_a_call_carries_at_most_some_megabytes(batcher, engine):
    large = '"' + "x" * (1 << 20) + '"'
    await asyncio.gather(*(batcher.add(job(data=large)) for _ in range(8)))

    assert sum(engine.calls) == 8
    assert max(engine.calls) <= 4


async def test_even_a_job_larger_than_that_goes_out(batcher, engine):
    huge = '"' + "x" * (5 << 20) + '"'
    await asyncio.gather(batcher.add(job(data=huge)), batcher.add(job(data=huge)))

    assert engine.calls == [1, 1]


@pytest.mark.parametrize(
    "error",
    [StoreFullError("no room"), StoreBusyError("busy"), ValidationError("data", "bad")],
    ids=lambda e: type(e).__name__,
)
async def test_a_call_that_fails_fails_every_job_that_shared_it(batcher, engine, error):
    engine.error = error
    found = await asyncio.gather(*(batcher.add(job()) for _ in range(3)), return_exceptions=True)

    assert [(type(e), str(e)) for e in found] == [(type(error), str(error))] * 3


async def test_waiters_do_not_share_one_exceptions_traceback(batcher, engine):
    engine.error = StoreFullError("no room")
    found = await asyncio.gather(*(batcher.add(job()) for _ in range(3)), return_exceptions=True)

    assert len({id(e) for e in found}) == 3
    assert {id(e.__cause__) for e in found} == {id(engine.error)}


async def test_after_a_call_that_failed_the_next_goes_out(batcher, engine):
    engine.error = StoreFullError("no room")
    with pytest.raises(StoreFullError):
        await batcher.add(job())
    engine.error = None

    assert (await batcher.add(job())).status is AddStatus.CREATED


async def test_a_waiter_that_is_cancelled_takes_nobody_along(batcher, engine):
    engine.gate.clear()
    waiting = [asyncio.create_task(batcher.add(job(f"job-{n}"))) for n in range(3)]
    await engine.called.wait()
    waiting[1].cancel()
    engine.gate.set()
    answers = await asyncio.gather(*waiting, return_exceptions=True)

    assert [getattr(a, "id", None) for a in answers] == ["job-0", None, "job-2"]
    assert isinstance(answers[1], asyncio.CancelledError)
