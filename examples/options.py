"""Options of jobs and queues, and the state that each job is in afterwards."""

import asyncio
from datetime import UTC, datetime, timedelta

from toril import Backoff, Deduplication, Keep, Priority, QueueManager, RateLimit

manager = QueueManager("sqlite:///reports.db")
reports = manager.register_queue(
    "reports",
    rate_limit=RateLimit(100, per="1m"),
    concurrency=20,
    default_job_options={"remove_on_complete": Keep(count=1000, age="7d")},
)


@reports.task(
    "monthly",
    attempts=5,
    backoff=Backoff.exponential("1s", cap="1m", jitter=0.5),
    timeout="30s",
    tags=["finance"],
)
async def monthly(month: str) -> str:
    return f"report of {month}"


async def main() -> None:
    async with manager:
        now = await monthly.enqueue("2025-01")
        urgent = await monthly.options(priority=Priority.CRITICAL).enqueue("2025-02")
        later = await monthly.options(delay="10m", ttl="1h").enqueue("2025-03")
        tomorrow = datetime.now(UTC) + timedelta(days=1)
        dated = await monthly.options(scheduled_at=tomorrow).enqueue("2025-04")
        named = await monthly.options(job_id="report-2025-05").enqueue("2025-05")
        again = await monthly.options(job_id="report-2025-05").enqueue("2025-05")
        once = monthly.options(deduplication=Deduplication.simple("june"))
        first, second = await once.enqueue("2025-06"), await once.enqueue("2025-06")

        print(await now.state(), await urgent.state(), await later.state(), await dated.state())
        print(named.created, again.created, named == again)
        print(first.created, second.created, second.deduplicated, first == second)
        print({state.value: n for state, n in (await reports.counts()).items() if n})


if __name__ == "__main__":
    asyncio.run(main())
