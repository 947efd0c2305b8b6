"""Middleware around every handler, and the events that a worker tells of."""

import asyncio

import pytest

from tests.worker import jobs
from tests.worker.kinds import KINDS, as_task
from tests.worker.waiting import failure_of, until
from toril import (
    JobAdded,
    JobCompleted,
    JobFailed,
    JobReleased,
    JobRetrying,
    JobStarted,
    Snooze,
    ValidationError,
    current_job,
)

EVENTS = [JobAdded, JobStarted, JobRetrying, JobReleased, JobCompleted, JobFailed]


@pytest.fixture
def url():
    """What a handler does is the same whatever the store."""
    return "memory://"


@pytest.fixture
def heard(manager):
    """Every event of this manager's jobs, in order."""
    events = []
    for kind in EVENTS:
        manager.on(kind, events.append)
    return events


# Middleware


@pytest.mark.parametrize("kind", KINDS)
async def test_middleware_stands_around_handlers_of_every_kind(manager, queue, work, kind):
    heard = []

    @manager.add_middleware
    async def outer(job, call_next):
        heard.append(f"outer in {job.name}")
        result = await call_next()
        heard.append(f"outer out {result}")
        return {"outer": result}

    @manager.add_middleware
    async def inner(job, call_next):
        heard.append(f"inner in {current_job().id == job.id}")
        result = await call_next()
        heard.append(f"inner out {result}")
        return result + 1

    task = as_task(queue, jobs.double, kind)
    await work()
    handle = await task.enqueue(4)
    await until(lambda: len(heard) == 4)

    assert heard == ["outer in double", "inner in True", "inner out 8", "outer out 9"]
    assert (await until(lambda: completed(handle))).result == {"outer": 9}


async def completed(handle):
    job = await handle.job()
    return job if job.result is not None else None


@pytest.mark.parametrize("kind", KINDS)
async def test_middleware_sees_a_handlers_error_and_may_replace_it(manager, queue, work, kind):
    seen = []

    @manager.add_middleware
    async def translate(job, call_next):
        try:
            return await call_next()
        except Exception as error:
            seen.append(str(error))
            raise LookupError("translated") from error

    task = as_task(queue, jobs.raise_value_error, kind)
    await work()

    error = await failure_of(await task.enqueue())

    assert (error.error_type, error.reason) == ("LookupError", "translated")
    assert ["broken" in text for text in seen] == [True]


@pytest.mark.parametrize("kind", KINDS)
async def test_middleware_may_save_what_failed(manager, queue, work, kind):
    @manager.add_middleware
    async def save(job, call_next):
        try:
            return await call_next()
        except Exception:  # noqa: BLE001 - whatever the handler raises
            return "saved"

    task = as_task(queue, jobs.raise_value_error, kind)
    await work()
    handle = await task.enqueue()

    assert (await until(lambda: completed(handle))).result == "saved"


async def test_an_error_of_middleware_is_the_attempts(manager, queue, work):
    ran = []

    @manager.add_middleware
    async def broken(job, call_next):
        raise RuntimeError("in the middleware")

    @queue.task(attempts=2)
    async def task() -> None:
        ran.append(1)

    await work()
    handle = await task.enqueue()

    assert (await failure_of(handle)).reason == "in the middleware"
    assert (await handle.job()).attempts_made == 2
    assert ran == []


async def test_middleware_may_name_how_the_attempt_ended(manager, queue, work):
    calls = []

    @manager.add_middleware
    async def once(job, call_next):
        calls.append(1)
        if len(calls) == 1:
            raise Snooze(0.01)
        return await call_next()

    @queue.task
    async def task() -> str:
        return "ran"

    await work()
    handle = await task.enqueue()

    assert await handle.result(10) == "ran"
    assert (await handle.job()).attempts_made == 1


async def test_arguments_that_do_not_fit_are_seen_by_middleware_and_still_end_the_job(
    manager, queue, work
):
    seen = []

    @manager.add_middleware
    async def watch(job, call_next):
        try:
            return await call_next()
        except ValidationError as error:
            seen.append(error.field)
            raise

    queue.task(jobs.double)
    await work()
    handle = await queue.add("double", {"x": "4"}, attempts=3)

    assert (await failure_of(handle)).error_type == "ArgumentsInvalid"
    assert seen == ["arguments.x"]


async def test_middleware_that_returns_what_is_no_json_fails_the_job(manager, queue, work):
    @manager.add_middleware
    async def spoil(job, call_next):
        return object()

    task = queue.task(jobs.double)
    await work()

    assert (await failure_of(await task.enqueue(1))).error_type == "ResultNotJSON"


# Events


async def test_a_jobs_events_tell_its_story(manager, queue, work, heard):
    runs = []

    @queue.task(attempts=3, backoff=0.01)
    async def task() -> str:
        runs.append(1)
        if len(runs) == 1:
            raise ValueError("broken")
        if len(runs) == 2:
            raise Snooze(0.02)
        return "done"

    await work()
    handle = await task.enqueue()
    await handle.result(10)
    await until(lambda: isinstance(heard[-1], JobCompleted))

    # The producer hears that its job is stored when a worker may have it already.
    (added,) = [event for event in heard if isinstance(event, JobAdded)]
    story = [event for event in heard if event is not added]
    assert [type(event) for event in story] == [
        *(JobStarted, JobRetrying, JobStarted, JobReleased, JobStarted, JobCompleted)
    ]
    assert {event.queue for event in heard} == {queue.ref}
    assert {event.lease.id for event in story} == {handle.id}
    first, retrying, _, released, _, completed = story
    assert (added.job_id, added.name, added.created) == (handle.id, "task", True)
    assert (first.lease.attempts_made, completed.lease.attempts_made) == (0, 1)
    assert (retrying.error.message, retrying.delay, released.delay) == ("broken", 0.01, 0.02)
    assert completed.duration >= 0


async def test_a_failure_is_told_with_the_error_that_ended_it(manager, queue, work, heard):
    @queue.task
    async def fails() -> None:
        await asyncio.sleep(0.02)
        raise KeyError("missing")

    await work()
    await failure_of(await fails.enqueue())
    await until(lambda: isinstance(heard[-1], JobFailed))

    assert (heard[-1].error.type, heard[-1].error.message) == ("KeyError", "'missing'")
    assert heard[-1].duration >= 0.02


async def test_what_is_told_is_in_the_store_already(manager, queue, work):
    states = []

    async def look(event):
        states.append((await queue.get(event.lease.id)).state)

    manager.on(JobCompleted, lambda event: tasks.append(asyncio.create_task(look(event))))
    tasks = []

    @queue.task
    async def task() -> None: ...

    await work()
    for _ in range(20):
        await task.enqueue()
    await until(lambda: len(states) == 20)

    assert set(states) == {"completed"}


async def test_a_subscriber_that_fails_stops_no_job(manager, queue, work, caplog):
    manager.on(JobStarted, lambda event: 1 / 0)
    manager.on(JobCompleted, lambda event: 1 / 0)

    @queue.task
    async def task() -> str:
        return "ran"

    await work()
    handles = [await task.enqueue() for _ in range(3)]

    assert [await handle.result(10) for handle in handles] == ["ran"] * 3
    assert "a subscriber to JobStarted failed" in caplog.text


async def test_a_subscription_can_be_ended(manager, queue, work):
    heard = []
    end = manager.on(JobAdded, heard.append)
    await queue.add()
    end()
    await queue.add()

    assert len(heard) == 1


async def test_a_subscriber_may_be_a_decorated_function(manager, queue):
    heard = []

    @manager.on(JobAdded)
    def note(event):
        heard.append(event)

    await queue.add()

    assert len(heard) == 1
    assert callable(note)


async def test_a_worker_counts_what_it_did(manager, queue, work):
    @queue.task(attempts=2)
    async def task(n: int) -> None:
        if n:
            raise ValueError

    worker = await work()
    handles = [await task.enqueue(n) for n in (0, 0, 0, 1)]
    for handle in handles[:3]:
        await handle.result(10)
    await failure_of(handles[3])
    await until(lambda: worker.statistics.failed == 1)

    done = worker.statistics
    assert (done.completed, done.failed, done.retried, done.released, done.lost) == (3, 1, 1, 0, 0)
    assert done.ended == 5


async def test_a_worker_says_now_and_then_what_it_did(manager, queue, work, caplog):
    @queue.task
    async def task() -> None: ...

    with caplog.at_level("INFO", "toril.worker"):
        await work(report_every=0.05)
        await (await task.enqueue()).result(10)
        await until(lambda: "1 jobs completed, 0 failed, 0 attempts retried;" in caplog.text)
