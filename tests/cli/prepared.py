"""A store with jobs in every state that people look at."""

import asyncio

from toril import JobContext, QueueManager, RateLimit, Settings, WorkerSettings

STEERING = "\x1b[2J"  # what would clear a terminal that obeys it


def fill(file):
    """Make the store, and return its jobs' ids by what became of them."""
    return asyncio.run(_fill(f"sqlite:///{file}"))


async def _fill(url):
    manager = QueueManager(url, settings=Settings())
    mails = manager.register_queue("mails", rate_limit=RateLimit(1000, per=60), concurrency=50)
    manager.register_queue("empty")

    @mails.task("send", attempts=2)
    async def send(job: JobContext, to: str = "somebody") -> dict:
        job.log(f"sending to {to}{STEERING}")
        job.progress(50)
        if to == "nobody":
            raise LookupError(f"there is no {to}{STEERING}")
        return {"to": to}

    async with manager:
        done = await send.options(tags=["early"]).enqueue()
        failed = await send.enqueue("nobody")
        await manager.run_workers(burst=True, settings=WorkerSettings(report_every=0))
        waiting = [await mails.add("send", {"to": f"number {n}"}) for n in range(3)]
        tagged = await mails.add("other", None, tags=["late"])
        urgent = await mails.add("send", {"to": "all"}, priority="high")
        delayed = await mails.add("send", {}, delay="1h", tags=["late"])
    return {
        "completed": done.id,
        "failed": failed.id,
        "waiting": [handle.id for handle in waiting],
        "tagged": tagged.id,
        "prioritized": urgent.id,
        "delayed": delayed.id,
    }


def state_of(file, queue, job_id):
    """Return a job's state; None where it is not there."""
    job = asyncio.run(_get(f"sqlite:///{file}", queue, job_id))
    return None if job is None else job.state


async def _get(url, queue, job_id):
    async with QueueManager(url, settings=Settings()) as manager:
        return await manager.get_job(queue, job_id)


def counts_of(file, queue):
    """Return the numbers of jobs in the states that have any."""
    return asyncio.run(_counts(f"sqlite:///{file}", queue))


async def _counts(url, queue):
    async with QueueManager(url, settings=Settings()) as manager:
        counts = await manager.queue(queue).counts()
    return {str(state): n for state, n in counts.items() if n}
