"""What a job costs beside a crowd: many that are delayed, that run, or that belong to others.

A small crowd and a large one are open in one process and take turns, so that the noise of the
machine falls on both alike.
"""

from collections.abc import Sequence
from contextlib import AsyncExitStack
from statistics import median
from time import perf_counter

from benchmarks.measurement import Measurement, Params, Runs
from benchmarks.peers.toril.session import QUEUE, Place, session
from toril import QueueManager
from toril.engine.contract.hot_path import Fetch
from toril.model.ids import new_id
from toril.model.job import NewJob, QueueRef
from toril.model.job_options import JobOptions, encode_options
from toril.model.limits import KeyLimits, Limits
from toril.model.settlement import Complete

BATCH = 50
TURNS = 60
CHUNK = 1_000
LEASE_MS = 600_000
SIZES = {"delayed": 1, "active": 10, "tenants": 100}
"""What part of the large backlog the crowd of a kind is."""


async def crowd(params: Params, place: Place) -> Measurement:
    """Time exchanges beside crowds of both sizes, for each kind of crowd."""
    values: dict[str, float] = {}
    ran: list[str] = []
    for kind, part in SIZES.items():
        sizes = {
            "small": max(params.small // part, BATCH),
            "large": max(params.large // part, BATCH),
        }
        async with AsyncExitStack() as stack:
            managers = {
                size: await stack.enter_async_context(session(place(params.scratch, size)))
                for size in sizes
            }
            for size, manager in managers.items():
                await _gather(manager, kind, sizes[size])
            taken = await _take_turns(managers, ran)
            values |= {f"{kind}_{size}_ms": median(times) * 1000 for size, times in taken.items()}
            for manager in managers.values():
                await manager.queue(QUEUE).obliterate(force=True)
    return Measurement(values, Runs.tally(ran, ran))


async def _gather(manager: QueueManager, kind: str, count: int) -> None:
    """Make the crowd, and the jobs that are to run beside it."""
    engine, queue = manager.engine, manager.queue(QUEUE).ref
    options = JobOptions.of({"delay": "1d"}) if kind == "delayed" else JobOptions()
    if kind == "tenants":
        await engine.queues.register(queue, Limits(by_key=KeyLimits("tenant", concurrency=10)))
        for _ in range(BATCH * TURNS // count + 2):
            await _add(manager, queue, options, count)
        return
    await _add(manager, queue, options, count)
    if kind == "active":
        for _ in range(0, count, CHUNK):
            await engine.exchange(queue, (), Fetch(CHUNK, "crowd", LEASE_MS))
    await _add(manager, queue, JobOptions(), BATCH * TURNS)


async def _add(manager: QueueManager, queue: QueueRef, options: JobOptions, count: int) -> None:
    packed = encode_options(options)
    for first in range(0, count, CHUNK):
        await manager.engine.add(
            queue,
            [
                NewJob(new_id(), "noop", f'{{"tenant":{n}}}', options, packed)
                for n in range(first, min(first + CHUNK, count))
            ],
        )


async def _take_turns(
    managers: dict[str, QueueManager], ran: list[str]
) -> dict[str, Sequence[float]]:
    times: dict[str, list[float]] = {size: [] for size in managers}
    done: dict[str, list[Complete]] = {size: [] for size in managers}
    for _ in range(TURNS):
        for size, manager in managers.items():
            queue = manager.queue(QUEUE).ref
            start = perf_counter()
            answer = await manager.engine.exchange(queue, done[size], Fetch(BATCH, "w", LEASE_MS))
            times[size].append(perf_counter() - start)
            done[size] = [Complete(lease, result_json="null") for lease in answer.leases]
            ran += [lease.id for lease in answer.leases]
    return {size: taken[1:] for size, taken in times.items()}
