"""What an attempt can end in, in each kind of handler: a defined end for whatever happens."""

import asyncio

import pytest

from tests.worker import jobs
from tests.worker.kinds import KINDS, as_task
from tests.worker.waiting import failure_of, until_state
from toril import (
    Backoff,
    Cancel,
    JobCancelledError,
    JobRetrying,
    JobState,
    Retry,
    Snooze,
    Unrecoverable,
)

pytestmark = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture
def url():
    """What a handler does is the same whatever the store."""
    return "memory://"


# Signals


@pytest.mark.parametrize("function", [jobs.raise_retry, jobs.return_retry, jobs.raise_later])
async def test_a_retry_uses_up_an_attempt_and_waits_as_it_says(
    manager, queue, work, kind, function
):
    waits = []
    manager.on(JobRetrying, lambda event: waits.append(event.delay))
    task = as_task(queue, function, kind, attempts=2, backoff=Backoff.fixed(3600))
    await work()
    handle = await task.enqueue()

    error = await failure_of(handle)

    assert waits == [0.01]
    assert error.reason in ("no quota", "later")
    assert (await handle.job()).attempts_made == 2


@pytest.mark.parametrize("function", [jobs.snooze_once, jobs.return_snooze_once])
async def test_a_snooze_uses_up_no_attempt_and_is_no_error(queue, work, tmp_path, kind, function):
    task = as_task(queue, function, kind)
    await work()
    handle = await task.enqueue(str(tmp_path / "marks"))

    assert await handle.result(10) == "awake"
    job = await handle.job()
    assert (job.attempts_made, job.attempts_started, job.errors) == (1, 2, ())


@pytest.mark.parametrize("function", [jobs.raise_cancel, jobs.return_cancel])
async def test_a_handler_may_cancel_its_own_job(queue, work, kind, function):
    task = as_task(queue, function, kind, attempts=5)
    await work()
    handle = await task.enqueue()

    with pytest.raises(JobCancelledError, match="was cancelled: not wanted"):
        await handle.result(10)
    job = await handle.job()
    assert (job.state, job.attempts_made, job.errors[0].type) == (JobState.FAILED, 1, "Cancel")


@pytest.mark.parametrize("function", [jobs.raise_unrecoverable, jobs.return_unrecoverable])
async def test_what_is_hopeless_is_not_tried_again(queue, work, kind, function):
    task = as_task(queue, function, kind, attempts=5)
    await work()
    handle = await task.enqueue()

    error = await failure_of(handle)

    assert (error.error_type, error.reason) == ("Unrecoverable", "hopeless")
    assert (await handle.job()).attempts_made == 1


async def test_a_signal_among_other_errors_is_heard(queue, work, kind):
    task = as_task(queue, jobs.raise_group_with_retry, kind, attempts=2, backoff=3600)
    await work()

    error = await failure_of(await task.enqueue())

    assert error.error_type == "ExceptionGroup"
    assert "ValueError: one; Retry: the handler asked for a retry" in error.reason


# Errors


async def test_an_ordinary_error_is_tried_again_and_each_is_kept(queue, work, kind):
    task = as_task(queue, jobs.raise_value_error, kind, attempts=3)
    await work()
    handle = await task.enqueue()

    await failure_of(handle)

    job = await handle.job()
    assert [(e.attempt, e.type, e.message) for e in job.errors] == [
        (n, "ValueError", "broken") for n in (1, 2, 3)
    ]
    assert all("in raise_value_error" in e.stack for e in job.errors)
    assert all(e.started_ms <= e.ended_ms for e in job.errors)
    assert (job.attempts_made, job.attempts_started, job.failed_reason) == (3, 3, "broken")


async def test_an_attempt_that_succeeds_ends_the_trying(queue, work, tmp_path, kind):
    task = as_task(queue, jobs.succeed_at_the_third, kind, attempts=5)
    await work()
    handle = await task.enqueue(str(tmp_path / "marks"))

    assert await handle.result(10) == "attempt 3"
    job = await handle.job()
    assert (job.attempts_made, [e.message for e in job.errors]) == (3, ["attempt 1", "attempt 2"])


@pytest.mark.parametrize(
    ("function", "error_type", "reason"),
    [
        (jobs.raise_group, "ExceptionGroup", "2 errors at once: ValueError: one; KeyError: 'two'"),
        (jobs.raise_mute, "MuteError", "<the message could not be read: RuntimeError>"),
        (jobs.raise_surrogate, "ValueError", "bad ? name"),
        (jobs.raise_keyboard_interrupt, "KeyboardInterrupt", "KeyboardInterrupt"),
        (jobs.raise_system_exit, "SystemExit", "3"),
        (jobs.raise_generator_exit, "GeneratorExit", "GeneratorExit"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
async def test_an_error_of_any_kind_ends_its_attempt_and_nothing_else(
    queue, work, kind, function, error_type, reason
):
    task = as_task(queue, function, kind, attempts=2)
    double = as_task(queue, jobs.double, kind)
    await work()
    handle = await task.enqueue()

    error = await failure_of(handle)

    assert (error.error_type, error.reason) == (error_type, reason)
    assert (await handle.job()).attempts_made == 2
    assert await (await double.enqueue(4)).result(10) == 8


@pytest.mark.parametrize(
    "function", [jobs.raise_stop_iteration, jobs.raise_cancelled, jobs.raise_futures_cancelled]
)
async def test_an_error_that_python_means_something_by_is_one_like_others(
    queue, work, kind, function
):
    task = as_task(queue, function, kind, attempts=2)
    double = as_task(queue, jobs.double, kind)
    await work()
    handle = await task.enqueue()

    error = await failure_of(handle)

    expected = "StopIteration" if function is jobs.raise_stop_iteration else "CancelledError"
    assert expected in f"{error.error_type} {error.reason}"
    assert (await handle.job()).attempts_made == 2
    assert await (await double.enqueue(4)).result(10) == 8


# Results


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (jobs.return_an_object, "result: cannot be written as JSON"),
        (jobs.return_nan, "result: nan is not JSON"),
        (jobs.return_much, "result: 202 bytes of JSON are more than the 100 allowed"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
async def test_a_result_that_cannot_be_stored_fails_its_job_without_doing_its_work_again(
    manager, work, kind, function, reason
):
    queue = manager.register_queue("small", max_data_bytes=100)
    task = as_task(queue, function, kind, attempts=3)
    await work()
    handle = await task.enqueue()

    error = await failure_of(handle)

    assert error.error_type == "ResultNotJSON"
    assert error.reason.startswith(reason)
    assert (await handle.job()).attempts_made == 1


async def test_a_queue_that_allows_more_takes_larger_results(manager, work, kind):
    queue = manager.register_queue("large", max_data_bytes=2**22)
    task = as_task(queue, jobs.say, kind)
    await work()
    handle = await task.enqueue("x" * 2**21)

    assert len(await handle.result(10)) == 2**21


# Jobs that must not run


async def test_a_job_that_comes_too_late_fails_without_running(queue, work, tmp_path, kind):
    task = as_task(queue, jobs.succeed_at_the_third, kind, attempts=3)
    handle = await task.options(ttl=0.05).enqueue(str(tmp_path / "marks"))
    in_time = await as_task(queue, jobs.double, kind, ttl="1h").enqueue(4)
    await asyncio.sleep(0.1)
    await work()

    error = await failure_of(handle)

    assert error.error_type == "Expired"
    assert "it could not start within 0.05 s" in error.reason
    assert not (tmp_path / "marks").exists()
    assert await in_time.result(10) == 8


async def test_an_attempt_that_was_put_off_past_its_jobs_time_does_not_run(
    queue, work, tmp_path, kind
):
    task = as_task(queue, jobs.succeed_at_the_third, kind, attempts=3, backoff=0.15, ttl=0.1)
    await work()
    handle = await task.enqueue(str(tmp_path / "marks"))

    assert (await failure_of(handle)).error_type == "Expired"
    assert len((tmp_path / "marks").read_text().splitlines()) == 1


async def test_what_a_job_is_kept_for_holds_however_it_ends(manager, queue, work, kind):
    fails = as_task(queue, jobs.raise_value_error, kind, remove_on_fail=1, remove_on_complete=True)
    double = as_task(queue, jobs.double, kind, remove_on_complete=1, remove_on_fail=True)
    await work(concurrency=1)
    failures = [await fails.enqueue() for _ in range(3)]
    successes = [await double.enqueue(n) for n in range(3)]
    await until_state(successes[-1], JobState.COMPLETED)

    left = [await manager.get_job("q", handle.id) for handle in (*failures, *successes)]
    assert [job is not None for job in left] == [False, False, True, False, False, True]


def test_the_kinds_of_signals_are_a_closed_set(kind):
    assert {Retry, Snooze, Cancel, Unrecoverable} == set(Retry.__mro__[1].__subclasses__())
