"""Pause a queue, inspect it, retry what failed, and remove everything."""

import asyncio

from toril import ConflictError, JobState, QueueManager

manager = QueueManager("sqlite:///control.db")
invoices = manager.register_queue("invoices")
broken = {"acme"}


@invoices.task("send")
async def send(customer: str) -> str:
    if customer in broken:
        raise ConnectionError(f"{customer} does not answer")
    return f"sent to {customer}"


async def main() -> None:
    async with manager:
        await invoices.pause()
        for customer in ("acme", "globex", "initech"):
            await send.options(tags=[f"customer-{customer}"]).enqueue(customer)
        later = await send.options(delay="1d", tags=["customer-acme"]).enqueue("acme")
        metrics = await manager.get_queue_metrics("invoices")
        print("paused:", metrics.paused, "waiting:", metrics.waiting, "delayed:", metrics.delayed)

        print("cancelled:", await invoices.cancel_jobs(tag="customer-initech"))
        await invoices.resume()
        await manager.run_workers(burst=True)
        page = await invoices.jobs(JobState.FAILED)
        print("failed:", sorted(job.failed_reason or "" for job in page.jobs))

        broken.clear()
        print("retried:", await invoices.retry_jobs(tag="customer-acme"))
        await later.promote()
        await manager.run_workers(burst=True)
        try:
            await later.promote()
        except ConflictError as error:
            print("refused:", str(error).replace(later.id, "…"))

        print("cleaned:", await invoices.clean(grace=0, state="completed", limit=2))
        print("removed:", await invoices.remove_jobs(tag="customer-initech"))
        print("obliterated:", await invoices.obliterate())


if __name__ == "__main__":
    asyncio.run(main())
