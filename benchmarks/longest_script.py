"""How long a single script holds Redis, at the most, in a queue of half a million jobs.

python -m benchmarks.longest_script: a Redis server of its own, about five minutes, a table. It ends
with 1 if a script took longer than allowed.
"""

import asyncio
import sys
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from redis import Redis

from benchmarks.redis_server import HOST, redis_server
from toril import Keep, QueueManager, Settings
from toril.engine.contract.hot_path import Fetch
from toril.engine.contract.rules import MOST_EXCHANGED
from toril.model.durations import to_ms
from toril.model.settlement import Complete, Settlement
from toril.model.state import JobState

JOBS = 500_000
LARGE = 300  # jobs with a payload of a megabyte
KEYS = 10_000
MOST_MS = 50.0
QUEUE = "long"

Step = Callable[[], Coroutine[Any, Any, object]]


class Lab:
    """A queue to work on, and what each step took of Redis at the most."""

    def __init__(self, manager: QueueManager, redis: "Redis[str]") -> None:
        """Prepare.

        Args:
            manager: The manager.
            redis: A connection that reads the slow log.
        """
        self.manager = manager
        self.queue = manager.register_queue(QUEUE)
        self.engine = manager.engine
        self.jobs = manager.engine.jobs
        self._redis = redis
        self.worst = 0.0

    async def measure(self, what: str, step: Step) -> None:
        """Run a step and print how long its longest script took."""
        self._redis.slowlog_reset()
        await step()
        found = self._redis.slowlog_get(1_000)
        longest = max((entry["duration"] for entry in found), default=0) / 1000
        self.worst = max(self.worst, longest)
        sys.stdout.write(f"| {what} | {longest:.1f} |\n")
        sys.stdout.flush()

    async def fill(self, n: int, **options: Any) -> None:
        """Add small jobs."""
        one = {"name": "job", "data": {"n": 1}, "options": options}
        await self.queue.add_bulk([one] * n, chunked=True)

    async def ids(self, state: JobState, n: int) -> list[str]:
        """Return the ids of some jobs in the middle of a state's listing."""
        found: list[str] = []
        cursor = None
        while len(found) < n:
            page = await self.queue.jobs(state=state, limit=1_000, cursor=cursor)
            found += [job.id for job in page.jobs]
            cursor = page.cursor
            if cursor is None:
                break
        return found[-n:]

    async def work(self, n: int, keep: Keep | None = None, result: str = '"done"') -> None:
        """Fetch and complete jobs, as a worker with many slots would."""
        done: Sequence[Settlement] = ()
        finished = 0
        most = MOST_EXCHANGED if len(result) < 1_000 else 8
        fetch = Fetch(most, "worker", to_ms(600, "lease"))
        while finished < n:
            answer = await self.engine.exchange(self.queue.ref, done, fetch)
            if not answer.leases:
                break
            done = [Complete(lease, result, keep) for lease in answer.leases]
            finished += len(done)
        await self.engine.exchange(self.queue.ref, done, None)


async def small_jobs(lab: Lab) -> None:
    """Measure what is done with half a million jobs that wait, with tags, or have finished."""
    tags = [f"tag{n}" for n in range(10)]
    await lab.measure(f"add {JOBS:,} jobs", lambda: lab.fill(JOBS - 50_000))
    await lab.measure("add 50,000 jobs with 10 tags", lambda: lab.fill(50_000, tags=tags))
    await lab.measure("count", lab.queue.counts)
    await lab.measure("list", lambda: lab.ids(JobState.WAITING, 5_000))
    some = await lab.ids(JobState.WAITING, 3_000)
    await lab.measure("get 1,000", lambda: lab.jobs.get(lab.queue.ref, some[:1_000]))
    await lab.measure("remove 500", lambda: lab.jobs.remove(lab.queue.ref, some[:500]))
    await lab.measure("cancel 500", lambda: lab.jobs.cancel(lab.queue.ref, some[500:1_000]))
    await lab.measure("change one", lambda: lab.queue.handle(some[1_500]).change_priority(5))
    await lab.measure("pause and resume", lambda: pause_and_resume(lab))
    await lab.measure("work 20,000", lambda: lab.work(20_000))
    await lab.measure("work, keep 10", lambda: lab.work(3_000, Keep(count=10)))
    await lab.measure(
        "work, with 1 MB results", lambda: lab.work(100, None, f'"{"x" * 1_000_000}"')
    )
    await lab.measure("retry 5,000", lambda: retry(lab))
    await lab.measure("clean", lambda: lab.queue.clean(0, state="completed"))
    await lab.measure("drain", lambda: lab.queue.drain(delayed=True))


async def pause_and_resume(lab: Lab) -> None:
    """Close and open the queue."""
    await lab.queue.pause()
    await lab.queue.resume()


async def retry(lab: Lab) -> None:
    """Run finished jobs again."""
    await lab.jobs.retry(lab.queue.ref, await lab.ids(JobState.COMPLETED, 5_000))


async def large_jobs(lab: Lab) -> None:
    """Measure payloads of a megabyte."""
    data = {"text": "x" * 1_000_000}
    jobs = [{"data": data}] * LARGE
    await lab.measure("add 1 MB payloads", lambda: lab.queue.add_bulk(jobs, chunked=True))
    await lab.measure("list them", lambda: lab.queue.jobs(limit=200))
    await lab.measure("work them", lambda: lab.work(LARGE))
    await lab.measure("obliterate", lambda: lab.queue.obliterate(force=True))


async def by_key(lab: Lab) -> None:
    """Measure limits by key."""
    keyed = lab.manager.register_queue("keyed", concurrency_by_key={"tenant": 2})
    await lab.manager.open()
    jobs = [{"data": {"tenant": n % KEYS}} for n in range(100_000)]
    lab.queue = keyed
    await lab.measure(f"add for {KEYS:,} keys", lambda: keyed.add_bulk(jobs, chunked=True))
    await lab.measure("work by key", lambda: lab.work(30_000))
    await lab.measure("obliterate by key", lambda: keyed.obliterate(force=True))


async def main() -> None:
    """Print the table."""
    with redis_server() as port:
        redis: Redis[str] = Redis(host=HOST, port=port, decode_responses=True)
        redis.config_set("slowlog-log-slower-than", 0)
        redis.config_set("slowlog-max-len", 10_000)
        manager = QueueManager(f"redis://{HOST}:{port}/0", settings=Settings())
        sys.stdout.write("| step | longest script, ms |\n|---|---|\n")
        async with manager:
            lab = Lab(manager, redis)
            await lab.manager.open()
            await small_jobs(lab)
            await large_jobs(lab)
            await by_key(lab)
        sys.stdout.write(f"\nlongest: {lab.worst:.1f} ms of {MOST_MS:g} ms allowed\n")
        sys.exit(lab.worst > MOST_MS)


if __name__ == "__main__":
    asyncio.run(main())
