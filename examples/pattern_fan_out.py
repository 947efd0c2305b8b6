"""Fan-out: one call adds a job for each user, and all workers share them."""

import asyncio

from toril import QueueManager

manager = QueueManager("sqlite:///users.db")
users = manager.register_queue("user-processing")


@users.task("process-user")
async def process_user(user_id: int) -> int:
    return user_id * 2


async def main() -> None:
    async with manager:
        jobs = [process_user.job(user_id) for user_id in range(1000)]
        handles = await users.add_jobs(jobs)  # adds all of them, or none
        await manager.run_workers(concurrency=100, burst=True)
        results = await asyncio.gather(*(handle.result(timeout=20) for handle in handles))
        print(len(results), "users, sum", sum(results))


if __name__ == "__main__":
    asyncio.run(main())
