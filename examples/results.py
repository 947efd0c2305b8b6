"""Wait for results, follow progress, read logs, and see why a job failed."""

import asyncio
from dataclasses import dataclass

from toril import JobContext, JobFailedError, QueueManager, ResultTimeoutError

manager = QueueManager("sqlite:///imports.db")
imports = manager.register_queue("imports")


@dataclass
class Report:
    rows: int
    skipped: list[int]


@imports.task
async def import_rows(job: JobContext, rows: list[int]) -> Report:
    skipped = []
    for place, row in enumerate(rows, 1):
        if row < 0:
            job.log(f"row {place} is negative")
            skipped.append(row)
        job.progress(100 * place // len(rows))
    return Report(len(rows), skipped)


@imports.task(attempts=2)
async def parse(text: str) -> int:
    return int(text)


async def main() -> None:
    async with manager:
        handle = await import_rows.enqueue([1, -2, 3, 4])
        bad = await parse.enqueue("twelve")
        try:
            await handle.result(timeout="50ms")
        except ResultTimeoutError:
            print("not yet:", await handle.state())  # the job is not affected

        await manager.start_workers()  # in the background, until the manager closes

        report = await handle.result(timeout=10)  # a Report again, not a dict
        print(report.rows, report.skipped, await handle.progress(), await handle.logs())

        try:
            await bad.result(timeout=10)
        except JobFailedError as error:
            print(error.error_type, "-", error.reason)
        job = await bad.job()
        print(job.state, [f"attempt {e.attempt}: {e.type}" for e in job.errors])


if __name__ == "__main__":
    asyncio.run(main())
