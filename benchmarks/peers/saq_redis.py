"""SAQ on Redis: its worker inside the trial's process, as Toril's."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import perf_counter
from typing import Any

import msgspec
from redis.asyncio import Redis
from saq import Worker
from saq.queue.redis import RedisQueue

from benchmarks.measurement import Measurement, Params, Scenario, Stored
from benchmarks.peers.coroutines import add_each, until_none
from benchmarks.peers.event_loop import run as run_loop
from benchmarks.peers.redis_store import QUEUE, url
from benchmarks.peers.tally import PATIENCE, Tally, payloads

NO_RESULT = -1
"""As a job's `ttl`: it is deleted when it is done."""
CONNECTIONS = 400
"""Above what a hundred slots hold, each its own for the blocking read; redis-py stops at 100."""
OPERATIONS = 100

# SAQ's best settings: uvloop, a fast JSON codec through its own `dump` and `load`, no results kept,
# and no throttle below the highest concurrency (`max_concurrent_ops`). Timeouts stay at SAQ's
# default; switching them off gained nothing. It has no bulk call: `map`, too, enqueues one by one.


def run(scenario: Scenario, params: Params) -> Measurement:
    """Measure one scenario."""
    match scenario:
        case Scenario.ADD_BULK:
            return run_loop(_add(params))
        case Scenario.PROCESS:
            return run_loop(_process(params))
        case _:
            raise NotImplementedError(scenario)


@asynccontextmanager
async def _queue(params: Params) -> AsyncIterator[RedisQueue]:
    queue = RedisQueue(
        Redis.from_url(url(params.redis_port), max_connections=CONNECTIONS),
        name=QUEUE,
        dump=msgspec.json.encode,
        load=msgspec.json.decode,
        max_concurrent_ops=OPERATIONS,
    )
    await queue.connect()
    try:
        yield queue
    finally:
        await queue.disconnect()


async def _fill(queue: RedisQueue, jobs: list[str]) -> float:
    return await add_each(
        lambda payload: queue.enqueue("noop", payload=payload, ttl=NO_RESULT), jobs
    )


async def _add(params: Params) -> Measurement:
    async with _queue(params) as queue:
        elapsed = await _fill(queue, payloads(params.jobs))
        stored = Stored(params.jobs, await queue.count("queued"))
    return Measurement({"rate": params.jobs / elapsed}, stored=stored)


async def _process(params: Params) -> Measurement:
    jobs = payloads(params.jobs)
    all_ran = asyncio.Event()
    tally = Tally(jobs, all_ran.set)

    async def noop(_: dict[str, Any], *, payload: str) -> None:
        tally.count(payload)

    async with _queue(params) as queue:
        await _fill(queue, jobs)
        await _hold_off_sweep(queue)
        worker = Worker(queue, [("noop", noop)], concurrency=params.concurrency)
        start = perf_counter()
        working = asyncio.create_task(worker.start())
        await asyncio.wait_for(all_ran.wait(), PATIENCE)
        left = await until_none(lambda: queue.count("incomplete"))
        await worker.stop()
        await working
    return tally.measurement(start, left)


async def _hold_off_sweep(queue: RedisQueue) -> None:
    """Take the minute's turn, so that the worker's start-up sweep passes over its first jobs.

    It would take a job that is fetched and not yet marked active for a stuck one, and abort it.
    """
    await queue.sweep()
