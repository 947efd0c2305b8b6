"""Middleware: functions that wrap every handler call."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeAlias

from toril.queues.context import JobContext

CallNext: TypeAlias = Callable[[], Awaitable[Any]]
Middleware: TypeAlias = Callable[[JobContext, CallNext], Awaitable[Any]]
"""Takes the job and a function that calls the next layer, and returns the job's result:

    async def timed(job: JobContext, call_next: CallNext) -> Any:
        started = time.perf_counter()
        try:
            return await call_next()
        finally:
            job.log(f"took {time.perf_counter() - started:.3f} s")

Middleware runs on the worker's event loop, for every kind of handler.
"""


def wrap(middleware: Sequence[Middleware], job: JobContext, call: CallNext) -> CallNext:
    """Wrap a call in middleware.

    Args:
        middleware: The middleware; the first one becomes the outermost.
        job: The job's context.
        call: The innermost call.
    """
    for layer in reversed(middleware):
        call = _layered(layer, job, call)
    return call


def _layered(layer: Middleware, job: JobContext, call: CallNext) -> CallNext:
    return lambda: layer(job, call)
