"""Waiting for what has no signal of its own, and not for ever."""

import asyncio

from tests.interop.agent import PATIENCE
from tests.worker import waiting
from tests.worker.waiting import failure_of

__all__ = ["failure_of", "until", "until_state"]


async def until(condition):
    """Wait until a function, or a coroutine function, returns something true, and return it."""
    async with asyncio.timeout(PATIENCE):
        return await waiting.until(condition)


async def until_state(handle, state):
    """Wait until a job is in a state, and return it."""
    async with asyncio.timeout(PATIENCE):
        return await waiting.until_state(handle, state)
