"""Limits by key: one busy tenant does not hold up the others."""

import asyncio
from collections import Counter

from toril import QueueManager, RateLimit

manager = QueueManager("sqlite:///exports.db")
exports = manager.register_queue(
    "exports",
    rate_limit=[RateLimit(1000, per=1), RateLimit(600, per=60, burst=100, by="tenant")],
    concurrency_by_key={"tenant": 2},
)
running: Counter[str] = Counter()
most: Counter[str] = Counter()
order: list[str] = []


@exports.task
async def export(tenant: str, page: int) -> str:
    order.append(tenant)
    running[tenant] += 1
    most[tenant] = max(most[tenant], running[tenant])
    await asyncio.sleep(0.01)
    running[tenant] -= 1
    return f"page {page} of {tenant}"


async def main() -> None:
    async with manager:
        await exports.add_jobs([export.job("large", n) for n in range(40)])
        await exports.add_jobs([export.job("small", n) for n in range(4)])
        await manager.run_workers(concurrency=10, burst=True)
        print("most at once:", dict(most))
        last_small = max(start for start, tenant in enumerate(order, 1) if tenant == "small")
        print("the small tenant's jobs were among the first 11 to start:", last_small < 12)


if __name__ == "__main__":
    asyncio.run(main())
