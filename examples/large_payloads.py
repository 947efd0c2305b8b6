"""Large payloads are stored in a folder, and the job carries only a claim."""

import asyncio
from pathlib import Path

from toril import QueueManager

manager = QueueManager(
    "sqlite:///scans.db",
    payload_store=Path("payloads"),  # or "s3://bucket/payloads", or TORIL_PAYLOAD_STORE
    payload_threshold=64 * 1024,  # bytes; larger payloads go to the store
)
scans = manager.register_queue("scans")


@scans.task(run_in="thread")
def count_words(page: str) -> int:
    return len(page.split())


async def main() -> None:
    async with manager:
        small = await count_words.enqueue("a few words")
        large = await count_words.enqueue("many words " * 500_000)

        job = await large.job()
        print(sorted(job.data["$payload"]), job.data["$payload"]["bytes"])
        print(len((await manager.load_payload(job))["page"]))

        await manager.run_workers(burst=True)
        print(await small.result(timeout=10), await large.result(timeout=10))

        # Run this once a day, with an age longer than you keep any job.
        print(await manager.clean_payloads(older_than="60d"), "payloads removed")


if __name__ == "__main__":
    asyncio.run(main())
