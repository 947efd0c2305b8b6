"""Testing jobs with pytest: the function alone, a job in a queue, and a failing job."""

import asyncio
import sys

import pytest

from toril import JobFailedError, JobState, QueueManager, Settings


def make_jobs(url: str | None = None) -> QueueManager:
    """Make the application's manager. A function, so each test gets its own."""
    manager = QueueManager(url, settings=Settings())
    greetings = manager.register_queue("greetings")

    @greetings.task("greet", attempts=2)
    async def greet(name: str) -> str:
        if not name:
            raise ValueError("nobody to greet")
        return f"Hello, {name}"

    return manager


def test_a_task_is_still_a_function() -> None:
    greet = make_jobs("memory://").queue("greetings").tasks["greet"]

    assert asyncio.run(greet.function("Ada")) == "Hello, Ada"


def test_a_job_runs_and_stores_its_result() -> None:
    async def run() -> None:
        async with make_jobs("memory://") as manager:
            handle = await manager.add_job("greetings", "greet", {"name": "Ada"})
            await manager.run_workers(burst=True)  # returns when no work is left
            assert await handle.result(timeout=5) == "Hello, Ada"

    asyncio.run(run())


def test_a_job_that_fails_says_why() -> None:
    async def run() -> None:
        async with make_jobs("memory://") as manager:
            handle = await manager.add_job("greetings", "greet", {"name": ""})
            await manager.run_workers(burst=True)
            with pytest.raises(JobFailedError, match="nobody to greet"):
                await handle.result(timeout=5)
            job = await handle.job()
            assert (job.state, job.attempts_made) == (JobState.FAILED, 2)

    asyncio.run(run())


def test_a_delayed_job_can_be_promoted() -> None:
    async def run() -> None:
        async with make_jobs("memory://") as manager:
            handle = await manager.add_job("greetings", "greet", {"name": "Ada"}, delay="1h")
            assert await handle.state() is JobState.DELAYED
            await handle.promote()  # instead of waiting for an hour
            await manager.run_workers(burst=True)
            assert await handle.state() is JobState.COMPLETED

    asyncio.run(run())


if __name__ == "__main__":
    sys.exit(pytest.main([__file__, "-q"]))
