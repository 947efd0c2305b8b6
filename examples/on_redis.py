"""Jobs on a Redis server. Set TORIL_URL to its URL, such as redis://localhost:6379/0."""

import asyncio

from toril import QueueManager, RateLimit

manager = QueueManager()  # uses TORIL_URL; you can also pass a URL here
mails = manager.register_queue("mails", rate_limit=RateLimit(100, per=60), concurrency=20)


@mails.task("send", attempts=3, backoff="2s")
async def send(to: str, subject: str) -> dict[str, str]:
    return {"sent": to, "subject": subject}


async def main() -> None:
    async with manager:
        handle = await send.enqueue("ada@example.com", subject="Hello")
        await manager.run_workers(burst=True)
        print(await handle.result(timeout=10))
        for finding in await manager.examine():
            if finding.check in {"eviction", "role"}:
                print(finding.level, finding.message)


if __name__ == "__main__":
    asyncio.run(main())
