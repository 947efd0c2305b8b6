"""Limits by key: a tenant with many jobs keeps none of the others waiting."""

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
        print("of each at once:", dict(most))
        print("small was done after", max(n for n, t in enumerate(order) if t == "small") + 1 < 12)


if __name__ == "__main__":
    asyncio.run(main())
