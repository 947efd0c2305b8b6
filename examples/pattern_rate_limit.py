"""Rate-limited API calls: the queue enforces the limit, however many workers run."""

import asyncio
import time

from toril import QueueManager, RateLimit, Snooze

WINDOW = 0.5  # seconds

manager = QueueManager("sqlite:///calls.db")
calls = manager.register_queue("external-api", rate_limit=RateLimit(5, per=WINDOW))
starts: list[float] = []


class Api:
    """Stands in for a service that sometimes answers: too many requests, try again later."""

    def __init__(self) -> None:
        self.told_to_wait = False

    async def get(self, endpoint: str) -> str:
        if endpoint == "/7" and not self.told_to_wait:
            self.told_to_wait = True
            raise Snooze("200ms")  # in your code: the Retry-After header
        return f"answer of {endpoint}"


api = Api()


@calls.task
async def call(endpoint: str) -> str:
    starts.append(time.perf_counter())
    return await api.get(endpoint)


async def main() -> None:
    async with manager:
        handles = await calls.add_jobs([call.job(f"/{n}") for n in range(12)])
        await manager.run_workers(concurrency=50, burst=True)
        answers = [await handle.result(timeout=10) for handle in handles]
        took = starts[-1] - starts[0]
        print(len(answers), "answers from", len(starts), "calls")
        print("5 at once, the others later:", took > WINDOW)


if __name__ == "__main__":
    asyncio.run(main())
