"""What wraps every handler: one function, around the call."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeAlias

from toril.queues.context import JobContext

CallNext: TypeAlias = Callable[[], Awaitable[Any]]
Middleware: TypeAlias = Callable[[JobContext, CallNext], Awaitable[Any]]
"""Takes the job and a function that runs the rest, and returns the job's result:

    async def timed(job: JobContext, call_next: CallNext) -> Any:
        started = time.perf_counter()
        try:
            return await call_next()
        finally:
            job.log(f"took {time.perf_counter() - started:.3f} s")

It runs on the worker's event loop, around handlers of every kind.
"""


def wrap(middleware: Sequence[Middleware], job: JobContext, call: CallNext) -> CallNext:
    """Return a call with middleware around it, the first outermost.

    Args:
        middleware: What to put around.
        job: The job.
        call: The innermost call.
    """
    for layer in reversed(middleware):
        call = _layered(layer, job, call)
    return call


def _layered(layer: Middleware, job: JobContext, call: CallNext) -> CallNext:
    return lambda: layer(job, call)
