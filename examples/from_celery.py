"""The tasks from docs/guides/from-celery.md, ported to Toril."""

import asyncio

from toril import Backoff, JobContext, QueueManager, RateLimit, Retry

manager = QueueManager("sqlite:///mails.db")
mails = manager.register_queue("mails", rate_limit=RateLimit(600, per="1m"))


@mails.task(attempts=4, backoff=Backoff.exponential("100ms"), timeout="30s")
def send_welcome(job: JobContext, to: str, subject: str = "Welcome") -> str:
    if job.attempt == 1:
        raise ConnectionError("the mail server does not answer")
    return f"{subject!r} sent to {to}"


@mails.task(attempts=6)
def fetch(job: JobContext, url: str) -> str:
    if job.attempt <= 2:
        raise Retry("not ready yet", after="100ms")
    return f"fetched {url} at attempt {job.attempt}"


async def main() -> None:
    async with manager:
        welcome = await send_welcome.enqueue("ada@example.com", subject="Hello")
        fetched = await fetch.enqueue("https://example.com")
        later = await send_welcome.options(delay="200ms", ttl="1h").enqueue("grace@example.com")
        await manager.run_workers(concurrency=4, burst=True)
        for handle in (welcome, fetched, later):
            print(await handle.result(timeout=10))


if __name__ == "__main__":
    asyncio.run(main())
