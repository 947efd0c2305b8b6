"""Calls that block, made from an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


async def in_thread(call: Callable[[], None]) -> None:
    """Make a blocking call in a thread, or right here if the system has no thread to spare.

    Args:
        call: The call. It may be made twice, and the second time does nothing.
    """
    try:
        await asyncio.to_thread(call)
    except RuntimeError as error:
        if "can't start new thread" not in str(error):
            raise
        call()
