"""Priority: urgent jobs run first, no matter when they were added."""

import asyncio

from toril import Priority, QueueManager

manager = QueueManager("sqlite:///tickets.db")
tickets = manager.register_queue("tickets", default_job_options={"priority": Priority.NORMAL})
order: list[str] = []


@tickets.task
async def answer(ticket: str) -> None:
    order.append(ticket)


async def main() -> None:
    async with manager:
        await answer.options(priority=Priority.BACKGROUND).enqueue("newsletter")
        await answer.enqueue("question")  # the queue's default: NORMAL
        await answer.options(priority=Priority.HIGH).enqueue("complaint")
        await answer.options(priority="critical").enqueue("outage")
        await manager.run_workers(concurrency=1, burst=True)
        print(" → ".join(order))


if __name__ == "__main__":
    asyncio.run(main())
