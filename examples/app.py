"""One task, one job, one worker. Jobs are stored in toril.db."""

import asyncio

from toril import QueueManager

manager = QueueManager("sqlite:///toril.db")
emails = manager.register_queue("emails")


@emails.task(attempts=3, backoff="5s")
async def send_welcome(to: str, subject: str = "Welcome") -> str:
    """Stand in for a call to a mail server."""
    return f"{subject!r} sent to {to}"


async def main() -> None:
    async with manager:
        handle = await send_welcome.enqueue("ada@example.com", subject="Hello")
        await manager.run_workers(burst=True)  # stops when nothing is left to do
        print(await handle.result(timeout=10))


if __name__ == "__main__":
    asyncio.run(main())
