"""Whatever a handler raises or returns, its job ends, and the worker goes on."""

import pytest

from tests.worker import jobs, odd
from tests.worker.kinds import KINDS, as_task
from tests.worker.waiting import failure_of, until
from toril import Backoff, JobAdded, JobStarted
from toril.model.settlement import Fail


@pytest.fixture
def url():
    """What a handler does is the same whatever the store."""
    return "memory://"


@pytest.fixture
def goes_on(queue):
    """Check that the worker still runs jobs."""
    double = queue.task("later")(jobs.double)

    async def check():
        assert await (await double.enqueue(2)).result(10) == 4

    return check


@pytest.mark.timeout(100)
@pytest.mark.parametrize("kind", KINDS)
async def test_an_error_that_bites_whoever_looks_at_it_only_fails_its_job(
    queue, work, goes_on, kind
):
    task = as_task(queue, odd.raise_odd, kind)
    await work(concurrency=1, processes=1)

    for which, (_, expected) in odd.ERRORS.items():
        handle = await task.enqueue(which)
        error = await failure_of(handle)
        assert expected in f"{error.error_type}: {error.reason}", which
        assert len(error.reason) <= 4_000
    await goes_on()


@pytest.mark.parametrize("kind", KINDS)
async def test_a_result_that_raises_while_it_is_encoded_fails_its_job(queue, work, goes_on, kind):
    task = as_task(queue, odd.return_bomb, kind, attempts=3)
    await work()
    handle = await task.enqueue()

    error = await failure_of(handle)

    assert error.error_type == "ResultNotJSON"
    assert "KeyboardInterrupt" in error.reason
    assert (await handle.job()).attempts_made == 1
    await goes_on()


@pytest.mark.parametrize("kind", KINDS)
async def test_a_log_line_of_an_odd_class_is_logged(queue, work, goes_on, kind):
    task = as_task(queue, odd.log_odd_text, kind)
    await work()
    handle = await task.enqueue()

    assert await handle.result(10) == "logged"
    assert await handle.logs() == ["odd line"]
    await goes_on()


async def test_middleware_that_raises_such_an_error_fails_the_job(manager, queue, work):
    @manager.add_middleware
    async def bite(job, call_next):
        raise odd.NamelessError

    task = queue.task(jobs.double)
    await work()

    for _ in range(2):
        assert (await failure_of(await task.enqueue(1))).error_type == "NamelessError"


async def test_a_backoff_strategy_that_raises_such_an_error_is_replaced_by_a_second(
    manager, queue, work, caplog
):
    def strategy(attempt, error):
        raise odd.NamelessError

    manager.register_backoff("odd", strategy)
    task = queue.task(attempts=2, backoff=Backoff.custom("odd"))(jobs.raise_value_error)
    await work()

    assert (await failure_of(await task.enqueue())).reason == "broken"
    assert "the backoff strategy 'odd' failed" in caplog.text


async def test_a_subscriber_that_raises_such_an_error_stops_no_job(
    manager, queue, work, goes_on, caplog
):
    def bite(event):
        raise odd.NamelessError

    manager.on(JobAdded, bite)
    manager.on(JobStarted, bite)
    await work()

    await goes_on()
    await until(lambda: "a subscriber to JobStarted failed" in caplog.text)


async def test_a_hook_that_raises_such_an_error_fails_the_job(manager, queue, work):
    def bite(settlement):
        if isinstance(settlement, Fail):
            return settlement
        raise odd.NamelessError

    manager._hooks.append(bite)
    task = queue.task(jobs.double)
    await work()

    for _ in range(2):
        error = await failure_of(await task.enqueue(1))
        assert error.error_type == "FollowUpRefused"
        assert "NamelessError" in error.reason
