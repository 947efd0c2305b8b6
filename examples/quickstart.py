"""Jobs for a shop: a typed task, a task that needs a second attempt, and a bulk add."""

import asyncio

from toril import Backoff, JobContext, Priority, QueueManager

manager = QueueManager("sqlite:///shop.db")
orders = manager.register_queue("orders")


@orders.task("charge-card", priority=Priority.HIGH)
async def charge_card(order: int, cents: int) -> dict[str, int]:
    return {"order": order, "charged": cents}


@orders.task("print-label", attempts=3, backoff=Backoff.fixed("100ms"))
async def print_label(job: JobContext, order: int) -> str:
    job.log(f"attempt {job.attempt} of {job.attempts}")
    if job.attempt == 1:
        raise ConnectionError("the printer does not answer")
    return f"label of order {order}"


@orders.task("count-stock")
def count_stock(shelf: str) -> str:  # a plain function runs in a thread
    return f"shelf {shelf} counted"


async def main() -> None:
    async with manager:
        charge = await charge_card.enqueue(7, cents=1999)
        label = await print_label.enqueue(order=7)
        shelves = await orders.add_jobs([count_stock.job(shelf) for shelf in "ABC"])

        await manager.run_workers(concurrency=10, burst=True)

        print(await charge.result(timeout=10))
        print(await label.result(timeout=10))
        print(await label.logs())
        print([await shelf.result(timeout=10) for shelf in shelves])
        metrics = await manager.get_queue_metrics("orders")
        print(
            metrics.completed, "completed,", metrics.failed, "failed,", metrics.retried, "retried"
        )


if __name__ == "__main__":
    asyncio.run(main())
