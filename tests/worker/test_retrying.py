"""When a job is tried again: presets, backoff, and strategies of one's own."""

import asyncio

import pytest

from tests.worker.waiting import failure_of, until, until_state
from toril import Backoff, JobRetrying, JobState, Priority


@pytest.fixture
def delays(manager):
    """The waits, in seconds, that follow failed attempts."""
    heard = []
    manager.on(JobRetrying, lambda event: heard.append(event.delay))
    return heard


@pytest.fixture
def fails(queue):
    @queue.task
    async def fails() -> None:
        raise ValueError("broken")

    return fails


async def test_without_a_backoff_the_next_attempt_comes_at_once(fails, work, delays):
    await work()

    await failure_of(await fails.options(attempts=3).enqueue())

    await until(lambda: delays == [0, 0])


async def test_a_backoff_waits_between_attempts(fails, work, delays):
    await work()
    handle = await fails.options(attempts=4, backoff=Backoff.exponential(0.01, cap=0.03)).enqueue()

    await failure_of(handle)

    await until(lambda: len(delays) == 3)
    assert delays == [0.01, 0.02, 0.03]


async def test_between_attempts_a_job_is_delayed(fails, work):
    await work()
    handle = await fails.options(attempts=2, backoff="1h").enqueue()

    job = await until_state(handle, JobState.DELAYED)

    assert (job.attempts_made, [e.message for e in job.errors]) == (1, ["broken"])
    assert (job.due_ms - job.errors[0].ended_ms) == 3_600_000


async def test_a_delayed_attempt_can_be_brought_forward(fails, work):
    await work()
    handle = await fails.options(attempts=2, backoff="1h").enqueue()
    await until_state(handle, JobState.DELAYED)

    await handle.promote()

    await failure_of(handle)
    assert (await handle.job()).attempts_made == 2


async def test_a_named_priority_brings_its_attempts(queue, work, delays, fails):
    await work()
    handle = await fails.options(priority=Priority.CRITICAL, backoff=0.001).enqueue()

    await failure_of(handle)

    assert (await handle.job()).attempts_made == 5
    await until(lambda: len(delays) == 4)


async def test_a_failed_job_that_is_run_again_has_all_its_attempts(queue, work):
    runs = []

    @queue.task(attempts=2)
    async def flaky() -> str:
        runs.append(1)
        if len(runs) < 4:
            raise ValueError(len(runs))
        return "at last"

    await work()
    handle = await flaky.enqueue()
    await failure_of(handle)
    await handle.retry()

    assert await handle.result(10) == "at last"
    job = await handle.job()
    assert (len(runs), [e.message for e in job.errors]) == (4, ["1", "2", "3"])


# Strategies


async def test_a_strategy_of_ones_own_is_asked_with_the_attempts_and_the_error(
    manager, fails, work, delays
):
    asked = []

    def strategy(made, error):
        asked.append((made, error.type, error.message))
        return made / 100

    manager.register_backoff("polite", strategy)
    await work()
    await failure_of(await fails.options(attempts=3, backoff=Backoff.custom("polite")).enqueue())

    assert asked == [(1, "ValueError", "broken"), (2, "ValueError", "broken")]
    assert delays == [0.01, 0.02]


async def test_a_job_carries_only_a_strategys_name(manager, fails):
    handle = await fails.options(backoff={"type": "polite", "delay": 5}).enqueue()

    assert (await handle.job()).options.backoff == Backoff("polite", 5000)


@pytest.mark.parametrize(
    "strategy",
    [lambda made, error: 1 / 0, lambda made, error: -1, lambda made, error: "soon", lambda: 1],
    ids=["raises", "negative", "no duration", "wrong signature"],
)
async def test_a_strategy_that_fails_is_logged_and_the_job_is_tried_again(
    manager, fails, work, delays, caplog, strategy
):
    manager.register_backoff("broken", strategy)
    await work()
    handle = await fails.options(attempts=2, backoff=Backoff.custom("broken")).enqueue()
    job = await until_state(handle, JobState.DELAYED)

    assert job.attempts_made == 1
    await until(lambda: delays == [1])
    assert "the backoff strategy 'broken' failed; waiting 1 s" in caplog.text


@pytest.mark.parametrize(("delay", "waits"), [(0, 1), (0.25, 0.25)])
async def test_a_strategy_that_this_worker_does_not_know_is_named_and_the_job_waits(
    fails, work, delays, caplog, delay, waits
):
    await work()
    handle = await fails.options(
        attempts=2, backoff=Backoff.custom("elsewhere", delay=delay)
    ).enqueue()
    await until_state(handle, JobState.DELAYED)

    await until(lambda: delays == [waits])
    assert "no backoff strategy 'elsewhere'; register it with manager.register_backoff" in (
        caplog.text
    )


async def test_a_hundred_jobs_that_fail_together_are_all_tried_to_their_end(queue, work):
    @queue.task(attempts=3, backoff=Backoff.exponential(0.01, jitter=0.5))
    async def fails(n: int) -> None:
        await asyncio.sleep(0)
        raise ValueError(n)

    await work(concurrency=20)
    handles = await asyncio.gather(*(fails.enqueue(n) for n in range(100)))
    await asyncio.gather(*(failure_of(handle) for handle in handles))

    jobs = [await handle.job() for handle in handles]
    assert {job.attempts_made for job in jobs} == {3}
    assert [[int(e.message) for e in job.errors] for job in jobs] == [[n] * 3 for n in range(100)]
