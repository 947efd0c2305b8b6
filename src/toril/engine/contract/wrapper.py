"""Wraps all calls of an engine in one function, for concerns that they share.

Use it for tracing, for a circuit breaker, or to inject faults in tests: the function receives
each call's name, and decides whether and when to make the call.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, TypeAlias, cast

from toril.engine.contract.engine import Engine

Around: TypeAlias = Callable[
    [str, Callable[[], Coroutine[Any, Any, Any]]], Coroutine[Any, Any, Any]
]
"""Receives a call's name ("exchange", "jobs.get", …) and a function that makes the call; returns
the result. It may make the call once, several times, or not at all."""

_PARTS = ("queues", "jobs", "events", "schedules")


class _Wrapped:
    """Passes each coroutine method of a target through `around`; leaves the rest unchanged."""

    def __init__(self, target: object, around: Around, prefix: str = "") -> None:
        self._target = target
        self._around = around
        self._prefix = prefix

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._target, name)
        if not self._prefix and name in _PARTS:
            found = _Wrapped(found, self._around, f"{name}.")
        elif inspect.iscoroutinefunction(found):
            found = self._wrap(name, found)
        else:
            return found
        setattr(self, name, found)  # the next access bypasses __getattr__
        return found

    def _wrap(self, name: str, method: Callable[..., Coroutine[Any, Any, Any]]) -> Any:
        around, full_name = self._around, f"{self._prefix}{name}"

        @wraps(method)
        async def call(*args: Any, **kwargs: Any) -> Any:
            return await around(full_name, lambda: method(*args, **kwargs))

        return call


def wrapped(engine: Engine, around: Around) -> Engine:
    """Return an engine whose calls all pass through one function.

    Args:
        engine: The engine that makes the calls.
        around: The function. Calls of lease keepers do not pass through it.
    """
    return cast("Engine", _Wrapped(engine, around))
