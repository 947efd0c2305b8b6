"""What users write, as mypy sees it in strict mode. It is checked, and never run."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, assert_type

from toril import (
    Backoff,
    CallNext,
    Cancel,
    Deduplication,
    Event,
    Job,
    JobAdded,
    JobCompleted,
    JobContext,
    JobFailed,
    JobHandle,
    JobOptions,
    JobState,
    Keep,
    Page,
    Priority,
    Queue,
    QueueManager,
    QueueMetrics,
    RateLimit,
    Retry,
    Settings,
    Snooze,
    SyncJobHandle,
    SyncQueueManager,
    Task,
    Unrecoverable,
    ValidationError,
    Worker,
    WorkerSettings,
    current_job,
)

manager = QueueManager("sqlite:///toril.db")
emails = manager.register_queue("email-notifications", rate_limit=RateLimit(100, per=60))
assert_type(emails, Queue)


# Tasks keep their function's signature


@emails.task("send-welcome-email", attempts=3, backoff=Backoff.exponential(2), priority="high")
async def send_welcome(to: str, subject: str, body: str = "") -> dict[str, int]:
    return {to: len(subject + body)}


@emails.task
async def plain(x: int) -> str:
    return str(x)


@emails.task()
def in_a_thread(x: int, *, y: float = 0.5) -> list[float]:
    return [x * y]


@emails.task(run_in="process", concurrency=2, timeout="1m")
def in_a_process(data: bytes) -> int:
    return len(data)


@emails.task("with-context")
async def with_context(job: JobContext, x: int) -> int:
    job.progress(50)
    return x * job.attempt


@emails.task
async def bare_with_context(job: JobContext, x: int) -> int:
    return x


@emails.task
def thread_with_bare_context(job: JobContext, x: int) -> int:
    return x


@emails.task("thread-with-context")
def thread_with_context(job: JobContext, x: int) -> int:
    return x


@emails.task
async def without_result() -> None: ...


async def tasks() -> None:
    handle = await send_welcome.enqueue("a@example.com", subject="Hi", body="…")
    assert_type(handle, JobHandle[dict[str, int]])
    assert_type(await handle.result(timeout=10), dict[str, int])
    assert_type(await handle.result(), dict[str, int])
    assert_type(await handle.state(), JobState)
    assert_type(await handle.job(), Job)
    assert_type(await handle.logs(), list[str])
    assert_type(handle.id, str)
    assert_type(handle.stored_in, str)
    assert_type(handle.fallback, bool)

    coroutine: Coroutine[Any, Any, dict[str, int]] = send_welcome("a", "b")
    assert_type(await coroutine, dict[str, int])
    assert_type(await send_welcome("a", "b"), dict[str, int])
    assert_type(in_a_thread(1, y=2), list[float])

    assert_type(await (await plain.enqueue(1)).result(), str)
    assert_type(await (await in_a_thread.enqueue(1, y=2)).result(), list[float])
    assert_type(await (await in_a_process.enqueue(b"")).result(), int)

    later = send_welcome.options(delay=30, tags=["onboarding"], priority=Priority.LOW)
    assert_type(await (await later.enqueue("a", "b")).result("5s"), dict[str, int])

    # The context is the worker's to give.
    assert_type(await (await with_context.enqueue(1)).result(), int)
    assert_type(await (await bare_with_context.enqueue(x=1)).result(), int)
    assert_type(await (await thread_with_context.enqueue(1)).result(), int)
    assert_type(await (await thread_with_bare_context.enqueue(1)).result(), int)

    prepared = [plain.job(n) for n in range(3)]
    assert_type(await emails.add_jobs(prepared), list[JobHandle[Any]])


async def enqueue_any(task: Task[[int], str]) -> str:
    return await (await task.enqueue(5)).result()


async def tasks_are_values() -> None:
    assert_type(await enqueue_any(plain), str)


# Jobs by name


async def jobs(when: datetime) -> None:
    handle = await manager.add_job(
        "reports", "monthly", {"month": "2025-01"}, scheduled_at=when, attempts=3
    )
    assert_type(handle, JobHandle[Any])
    handles = await manager.add_bulk(
        "reports", [{"name": "monthly", "data": {"n": 1}, "options": {"delay": 5}}, {}]
    )
    assert_type(handles, list[JobHandle[Any]])
    assert_type(await manager.get_job("reports", handle.id), Job | None)
    assert_type(await manager.get_queue_metrics("reports"), QueueMetrics)
    assert_type(await manager.get_all_metrics(), list[QueueMetrics])
    await manager.pause_queue("reports")
    await manager.resume_queue("reports")
    assert_type(await manager.clean_queue("reports", grace=86400, state="completed"), int)
    assert_type(await manager.clean_payloads(older_than="60d"), int)
    assert_type(await emails.jobs("failed", limit=5), Page)
    async for job in emails.each(JobState.FAILED):
        assert_type(job, Job)
        await manager.load_payload(job)

    # Every option, in each of its forms.
    await manager.add_job(
        "reports",
        priority=Priority.HIGH,
        delay=timedelta(seconds=5),
        backoff={"type": "fixed", "delay": 5},
        job_id="report-5",
        remove_on_complete=True,
        remove_on_fail=Keep(count=10, age="1d"),
        lifo=True,
        timeout=0.5,
        ttl="1h",
        tags=("a", "b"),
        metadata={"tenant": 5},
        correlation_id="request-5",
        deduplication=Deduplication.debounce(5),
    )
    await manager.add_job("reports", priority=1, backoff=5, remove_on_complete=100)
    await manager.add_job("reports", priority="critical", remove_on_complete={"age": 5})
    await manager.add_job("reports", data=[1, None], scheduled_at=5.0)
    assert_type(JobOptions.of({"attempts": 3}), JobOptions)


# Handlers


async def process(job: JobContext) -> dict[str, Any]:
    assert_type(job.id, str)
    assert_type(job.attempt, int)
    assert_type(job.cancelled, bool)
    assert_type(job.tags, tuple[str, ...])
    assert_type(job.metadata, dict[str, Any])
    assert_type(job.correlation_id, str | None)
    assert_type(job.created_at, datetime)
    assert_type(current_job(), JobContext)
    if job.data == 1:
        raise Retry("no quota", after=60)
    if job.data == 2:
        raise Snooze("5m")
    if job.data == 3:
        raise Cancel("not wanted")
    if job.data == 4:
        raise Unrecoverable("hopeless")
    return {"ok": True}


def process_in_a_thread(job: JobContext) -> None:
    job.log("done")


manager.register_processor("reports", process)
manager.register_processor("others", process_in_a_thread, run_in="process")
manager.register_backoff("polite", lambda made, error: made * 2.0 + len(error.message))


@manager.add_middleware
async def timed(job: JobContext, call_next: CallNext) -> Any:
    return await call_next()


@manager.on(JobFailed)
def alert(event: JobFailed) -> None:
    assert_type(event.error.message, str)


def subscriptions() -> None:
    end = manager.on(JobCompleted, lambda event: print(event.duration))
    end()
    manager.on(JobAdded, lambda event: print(event.created))


def everything(event: Event) -> None:
    assert_type(event.queue.name, str)


# Workers


async def work() -> None:
    async with manager:
        await manager.run_workers(concurrency=100)
        await manager.run_workers(queues=["reports"], burst=True)
    async with manager as opened:
        assert_type(opened, QueueManager)
        worker = await manager.start_workers(settings=WorkerSettings(lease="10s", grace=5))
        assert_type(worker, Worker)
        worker.stop()
        await manager.shutdown()


# Without an event loop


def synchronous() -> None:
    assert_type(manager.sync, SyncQueueManager)
    with manager.sync as sync:
        handle = sync.add_job("reports", "monthly", {"month": "2025-01"}, attempts=3)
        assert_type(handle, SyncJobHandle[Any])
        assert_type(sync.add_bulk("reports", [{"name": "monthly"}]), list[SyncJobHandle[Any]])
        assert_type(sync.enqueue(plain, 1), SyncJobHandle[str])
        assert_type(sync.enqueue(plain, 1).result(timeout=5), str)
        assert_type(sync.enqueue(plain.options(delay=5), x=1).result(), str)
        assert_type(sync.get_job("reports", handle.id), Job | None)
        assert_type(sync.get_queue_metrics("reports"), QueueMetrics)
        assert_type(sync.clean_queue("reports", 5, "failed", limit=5), int)
        assert_type(sync.clean_payloads(older_than=timedelta(days=60)), int)
        assert_type(sync.queue("reports").counts(), dict[JobState, int])
        assert_type(sync.queue("reports").jobs("failed", limit=5), Page)
        sync.pause_queue("reports")


# What must not pass. An ignored error that is none is an error itself.


async def calls_that_do_not_fit() -> None:
    await send_welcome.enqueue("a@example.com")  # type: ignore[call-arg]
    await send_welcome.enqueue("a@example.com", 5)  # type: ignore[arg-type]
    await send_welcome.enqueue("a", "b", subjekt="c")  # type: ignore[call-arg]
    await send_welcome.enqueue("a", "b", "c", "d")  # type: ignore[call-arg]
    await send_welcome("a@example.com")  # type: ignore[call-arg]
    in_a_thread("1")  # type: ignore[arg-type]
    in_a_thread(1, 2.0)  # type: ignore[call-arg]
    await in_a_process.enqueue("text")  # type: ignore[arg-type]
    await with_context.enqueue(current_job(), 1)  # type: ignore[call-arg, arg-type]
    plain.job("1")  # type: ignore[arg-type]

    result: int = await (await plain.enqueue(1)).result()  # type: ignore[assignment]
    print(result)


async def options_that_are_none() -> None:
    send_welcome.options(dealy=30)  # type: ignore[call-arg]
    send_welcome.options(delay=[30])  # type: ignore[arg-type]
    send_welcome.options(tags=5)  # type: ignore[arg-type]
    await manager.add_job("reports", attempts="3")  # type: ignore[arg-type]
    await manager.add_job("reports", removeOnComplete=True)  # type: ignore[call-arg]
    await manager.add_job("reports", scheduled_at="tomorrow")  # type: ignore[arg-type]
    await manager.add_job("reports", deduplication="key")  # type: ignore[arg-type]
    await manager.add_bulk("reports", ["monthly"])  # type: ignore[list-item]

    emails.task("t", run_in="proces")  # type: ignore[call-overload]
    emails.task("t", attemps=5)  # type: ignore[call-overload]
    manager.register_processor("reports", lambda: None)  # type: ignore[arg-type, misc]
    manager.register_queue("q", rate_limit=100)  # type: ignore[arg-type]
    manager.on(str, print)  # type: ignore[type-var]
    manager.on(JobFailed, lambda event: print(event.created))  # type: ignore[attr-defined]


async def values_that_cannot_be() -> None:
    Retry("no quota")  # type: ignore[call-arg]
    Snooze()  # type: ignore[call-arg]
    RateLimit(100)  # type: ignore[call-arg]
    WorkerSettings(5)  # type: ignore[call-arg]
    WorkerSettings(leese=5)  # type: ignore[call-arg]
    Settings(concurrency="5")  # type: ignore[arg-type]

    emails.name = "other"  # type: ignore[misc]
    JobOptions().attempts = 5  # type: ignore[misc]
    Keep(1).count = 5  # type: ignore[misc]

    manager.sync.enqueue(plain, "1")  # type: ignore[arg-type]
    manager.sync.enqueue(plain)  # type: ignore[call-arg]
    manager.sync.pause_queue()  # type: ignore[call-arg]

    manager.shutdown()  # type: ignore[unused-coroutine]
    plain.enqueue(1)  # type: ignore[unused-coroutine]
    await enqueue_any(in_a_thread)  # type: ignore[arg-type]


def errors_are_what_python_calls_them(error: ValidationError) -> ValueError:
    assert_type(error.field, str)
    return error


if __name__ == "__main__":
    asyncio.run(jobs(datetime.now(UTC)))
