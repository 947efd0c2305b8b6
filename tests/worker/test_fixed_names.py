"""The names that scripts outside of the repository use, as they are documented."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

import toril
from tests.worker.waiting import failure_of
from toril import (
    Backoff,
    Cancel,
    Deduplication,
    JobCancelledError,
    JobContext,
    JobState,
    Keep,
    Priority,
    RateLimit,
    Retry,
    Snooze,
    Unrecoverable,
)


async def test_a_typed_task_is_enqueued_and_its_result_awaited(manager, settings):
    emails = manager.register_queue("email-notifications", rate_limit=RateLimit(100, per=60))

    @emails.task(
        "send-welcome-email", attempts=3, backoff=Backoff.exponential(2), priority=Priority.HIGH
    )
    async def send_welcome(to: str, subject: str, body: str) -> dict:
        return {"to": to, "subject": subject, "body": body}

    await manager.start_workers(settings=settings())
    handle = await send_welcome.enqueue("a@example.com", subject="Hi", body="…")

    expected = {"to": "a@example.com", "subject": "Hi", "body": "…"}
    assert await handle.result(timeout=10) == expected
    assert await send_welcome("a@example.com", "Hi", body="…") == expected
    job = await handle.job()
    assert (job.name, job.data, job.priority) == ("send-welcome-email", expected, 2)
    assert (job.options.attempts, job.options.backoff) == (3, Backoff.exponential(2))


async def test_a_task_is_enqueued_with_other_options(manager):
    emails = manager.register_queue("email-notifications")

    @emails.task("send-welcome-email", attempts=3)
    async def send_welcome(to: str, subject: str, body: str) -> dict: ...

    handle = await send_welcome.options(delay=30, tags=["onboarding"]).enqueue(
        "a@example.com", subject="Hi", body="…"
    )

    job = await handle.job()
    assert (job.state, job.tags) == (JobState.DELAYED, ("onboarding",))
    assert job.due_at - job.created_at == timedelta(seconds=30)


async def test_a_processor_gets_the_jobs_of_its_queue_whatever_their_name(manager, settings):
    async def process(job: JobContext):
        return [job.name, job.data]

    manager.register_processor("reports", process)
    await manager.start_workers(settings=settings())
    monthly = await manager.add_job("reports", "monthly", {"month": "2025-01"}, attempts=3)
    weekly = await manager.add_job("reports", "weekly")
    plain = await manager.add_job("reports")

    assert await monthly.result(10) == ["monthly", {"month": "2025-01"}]
    assert await weekly.result(10) == ["weekly", None]
    assert await plain.result(10) == ["__default__", None]


async def test_a_job_is_scheduled_for_a_point_in_time(manager):
    when = datetime.now(UTC) + timedelta(hours=1)

    handle = await manager.add_job(
        "reports", "monthly", {"month": "2025-01"}, scheduled_at=when, attempts=3
    )

    job = await manager.get_job("reports", handle.id)
    assert job.state is JobState.DELAYED
    assert abs(job.due_at - when) < timedelta(milliseconds=1)


async def test_a_job_scheduled_for_the_past_runs_now(manager):
    when = datetime.now(UTC) - timedelta(hours=1)

    handle = await manager.add_job("reports", scheduled_at=when)

    assert await handle.state() is JobState.WAITING


async def test_many_jobs_are_added_in_one_call(manager):
    handles = await manager.add_bulk(
        "reports",
        [
            {
                "name": "monthly",
                "data": {"n": n},
                "options": {"priority": "low", "job_id": f"r-{n}"},
            }
            for n in range(3)
        ],
    )

    assert [handle.id for handle in handles] == ["r-0", "r-1", "r-2"]
    jobs = [await manager.get_job("reports", handle.id) for handle in handles]
    assert [(job.name, job.data, job.priority) for job in jobs] == [
        ("monthly", {"n": n}, 4) for n in range(3)
    ]


async def test_a_job_that_is_not_there_is_none(manager):
    await manager.add_job("reports")

    assert await manager.get_job("reports", "nobody") is None
    assert await manager.get_job("no-such-queue", "nobody") is None


async def test_the_numbers_of_one_queue_and_of_all(manager):
    await manager.add_job("reports")
    await manager.add_job("reports", priority=Priority.LOW)
    await manager.add_job("emails", delay=60)

    reports = await manager.get_queue_metrics("reports")
    assert (reports.waiting, reports.prioritized, reports.delayed, reports.ready) == (1, 1, 0, 2)
    assert [(m.queue, m.delayed) for m in await manager.get_all_metrics()] == [
        ("emails", 1),
        ("reports", 0),
    ]


async def test_a_queue_is_paused_and_resumed(manager, settings):
    ran = asyncio.Event()

    async def process(job):
        ran.set()

    manager.register_processor("reports", process)
    await manager.open()
    await manager.pause_queue("reports")
    await manager.start_workers(settings=settings())
    handle = await manager.add_job("reports")

    assert (await manager.get_queue_metrics("reports")).paused
    assert await handle.state() is JobState.WAITING
    assert not ran.is_set()

    await manager.resume_queue("reports")
    await handle.result(10)
    assert not (await manager.get_queue_metrics("reports")).paused


async def test_a_queue_is_cleaned_of_what_has_been_completed_for_long(manager, settings):
    async def process(job):
        pass

    manager.register_processor("reports", process)
    await manager.start_workers(settings=settings())
    handle = await manager.add_job("reports")
    await handle.result(10)

    assert await manager.clean_queue("reports", grace=86400, state="completed") == 0
    assert await manager.clean_queue("reports", grace=0, state="completed") == 1
    assert await manager.get_job("reports", handle.id) is None


async def test_workers_run_until_everything_is_done(manager):
    done = []

    async def process(job):
        done.append(job.data)

    manager.register_processor("reports", process)
    async with manager:
        await manager.add_bulk("reports", [{"data": n} for n in range(50)])
        await manager.run_workers(concurrency=100, burst=True)

    assert sorted(done) == list(range(50))


async def test_workers_serve_the_queues_that_they_are_told(manager, settings):
    async def process(job):
        return job.queue

    for name in ("a", "b"):
        manager.register_processor(name, process)
    ours, theirs = [await manager.add_job(name) for name in ("a", "b")]
    await manager.run_workers(queues=["a"], burst=True, settings=settings())

    assert await ours.result(10) == "a"
    assert await theirs.state() is JobState.WAITING


def test_code_without_an_event_loop_does_the_same(url):
    manager = toril.QueueManager(url, settings=toril.Settings())

    with manager.sync as jobs:
        handle = manager.sync.add_job("reports", "monthly", {"month": "2025-01"})
        assert jobs.get_job("reports", handle.id).data == {"month": "2025-01"}


async def test_a_handler_names_how_its_attempt_ended(manager, settings):
    async def process(job: JobContext):
        match job.name, job.attempt:
            case "retry", 1:
                raise Retry("no quota", after=0.01)
            case "snooze", 1 if not snoozed.is_set():
                snoozed.set()
                raise Snooze(0.01)
            case "cancel", _:
                raise Cancel("not wanted")
            case "hopeless", _:
                raise Unrecoverable("no such account")
        return job.attempt

    snoozed = asyncio.Event()
    manager.register_processor("reports", process)
    await manager.start_workers(settings=settings())
    jobs = {
        name: await manager.add_job("reports", name, attempts=3)
        for name in ("retry", "snooze", "cancel", "hopeless")
    }

    assert await jobs["retry"].result(10) == 2
    assert await jobs["snooze"].result(10) == 1
    with pytest.raises(JobCancelledError, match="not wanted"):
        await jobs["cancel"].result(10)
    assert (await failure_of(jobs["hopeless"])).reason == "no such account"


async def test_what_is_kept_and_what_counts_as_the_same_is_said_with_the_job(manager):
    keep = Keep(count=10, age="1d")
    rule = Deduplication.simple("invoice-5")

    first = await manager.add_job("q", remove_on_complete=keep, deduplication=rule)
    second = await manager.add_job("q", remove_on_complete=keep, deduplication=rule)

    assert (first.created, second.created, second.deduplicated) == (True, False, True)
    assert first == second
    assert (await first.job()).options.keep_completed.count == 10


async def test_a_handle_says_where_its_job_is_stored(manager, url):
    handle = await manager.add_job("reports")

    assert handle.stored_in == url
    assert handle.fallback is False
