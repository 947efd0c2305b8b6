"""The event loop of every asyncio peer, so that none has a faster one than another."""

import asyncio
from collections.abc import Coroutine
from importlib.util import find_spec
from typing import Any, TypeVar

T = TypeVar("T")


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run on uvloop where it is installed, as Toril's own worker command does."""
    if find_spec("uvloop") is None:
        return asyncio.run(work)
    import uvloop  # noqa: PLC0415  # optional: absent on some platforms

    result: T = uvloop.run(work)
    return result
