"""Taskiq on any of its brokers: its receiver inside the trial's process, as Toril's worker."""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter
from typing import TypeAlias

from taskiq import AsyncBroker
from taskiq.formatters.json_formatter import JSONFormatter
from taskiq.receiver import Receiver

from benchmarks.measurement import Measurement, Params, Scenario, Stored
from benchmarks.peers.coroutines import add_each, until_none
from benchmarks.peers.event_loop import run as run_loop
from benchmarks.peers.tally import PATIENCE, Tally, payloads

Waiting: TypeAlias = Callable[[], Awaitable[int]]
"""How many jobs the broker's store holds that are not done."""
STOP_TIMEOUT = 5.0

# Taskiq's best settings: uvloop, as its own command; no result backend; messages straight from
# pydantic to JSON and back; arguments not parsed again (`--no-parse`). Prefetching gained nothing.
# There is no bulk call: `kiq` sends one message.


def measure(
    scenario: Scenario, params: Params, broker: AsyncBroker, waiting: Waiting
) -> Measurement:
    """Measure one scenario."""
    broker = broker.with_formatter(JSONFormatter())
    match scenario:
        case Scenario.ADD_BULK:
            return run_loop(_add(params, broker, waiting))
        case Scenario.PROCESS:
            return run_loop(_process(params, broker, waiting))
        case _:
            raise NotImplementedError(scenario)


async def _add(params: Params, broker: AsyncBroker, waiting: Waiting) -> Measurement:
    async def noop(payload: str) -> None:
        """Do nothing: no worker runs."""

    task = broker.register_task(noop, task_name="noop")
    await broker.startup()
    elapsed = await add_each(task.kiq, payloads(params.jobs))
    stored = Stored(params.jobs, await waiting())
    await broker.shutdown()
    return Measurement({"rate": params.jobs / elapsed}, stored=stored)


async def _process(params: Params, broker: AsyncBroker, waiting: Waiting) -> Measurement:
    jobs = payloads(params.jobs)
    all_ran = asyncio.Event()
    tally = Tally(jobs, all_ran.set)

    async def noop(payload: str) -> None:
        tally.count(payload)

    task = broker.register_task(noop, task_name="noop")
    broker.is_worker_process = True
    await broker.startup()
    await add_each(task.kiq, jobs)
    start = await _drain(broker, params.concurrency, all_ran, waiting)
    left = await waiting()
    await broker.shutdown()
    return tally.measurement(start, left)


async def _drain(
    broker: AsyncBroker, concurrency: int, all_ran: asyncio.Event, waiting: Waiting
) -> float:
    """Run a worker until all jobs ran and are acknowledged; gives the time of its start."""
    finish = asyncio.Event()
    with ThreadPoolExecutor() as executor:
        receiver = Receiver(
            broker,
            executor,
            validate_params=False,
            max_async_tasks=concurrency,
            run_startup=False,
        )
        start = perf_counter()
        listening = asyncio.create_task(receiver.listen(finish))
        await asyncio.wait_for(all_ran.wait(), PATIENCE)
        await until_none(waiting)
        # A stop that meets the broker between two reads may be lost on it, so this is bounded: the
        # loop's own end cancels it again.
        finish.set()
        await asyncio.wait({listening}, timeout=STOP_TIMEOUT)
    return start
