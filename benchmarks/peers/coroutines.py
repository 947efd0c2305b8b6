"""What the asyncio peers share: they add jobs one a call, and finish the last of them."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from time import perf_counter

CALLERS = 20
"""Coroutines that each await their own; of 1, 10, 20 and 100 as fast as any."""
PAUSE = 0.05
TURNS = 200


async def add_each(add: Callable[[str], Awaitable[object]], jobs: Iterable[str]) -> float:
    """Add every job; gives the seconds that it took."""
    rest = iter(jobs)

    async def call() -> None:
        for payload in rest:
            await add(payload)

    start = perf_counter()
    await asyncio.gather(*(call() for _ in range(CALLERS)))
    return perf_counter() - start


async def until_none(waiting: Callable[[], Awaitable[int]]) -> int:
    """Give a worker the time to finish its last jobs; gives the number of those that are not."""
    left = await waiting()
    for _ in range(TURNS):
        await asyncio.sleep(PAUSE)
        left = await waiting()
        if not left:
            break
    return left
