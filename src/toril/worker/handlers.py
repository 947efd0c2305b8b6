"""Finds the handler for a job and calls it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import Any

import msgspec

from toril.errors import ConfigurationError, did_you_mean
from toril.model.job import Lease
from toril.model.job_options import HandlerKind
from toril.queues.arguments import Arguments
from toril.queues.context import JobContext
from toril.queues.queue import Queue


class FunctionRef(msgspec.Struct, frozen=True):
    """Where another process finds a function. No part of it comes from a job.

    Attributes:
        module: The module that defines the function.
        qualname: The function's qualified name in that module.
        main_path: The script to run first if that module is the program itself.
    """

    module: str
    qualname: str
    main_path: str | None = None


class Handler:
    """A task's or processor's function, as the worker runs it.

    Attributes:
        function: The function.
        run_in: "async", "thread" or "process".
        arguments: The function's parameters; None if it takes only the job's context.
        limit: Limits how many of its jobs run at once in this worker; None means no limit.
        is_plain: Whether it is a coroutine function without a limit.
    """

    __slots__ = ("arguments", "function", "is_plain", "limit", "run_in")

    def __init__(
        self,
        function: Callable[..., Any],
        run_in: HandlerKind,
        arguments: Arguments | None,
        concurrency: int | None,
    ) -> None:
        """Create a handler.

        Args:
            function: The function.
            run_in: Where it runs: "async", "thread" or "process".
            arguments: The function's parameters; None if it takes only the job's context.
            concurrency: How many of its jobs run at once in this worker; None means no limit.
        """
        self.function = function
        self.run_in = run_in
        self.arguments = arguments
        self.limit = None if concurrency is None else asyncio.Semaphore(concurrency)
        self.is_plain = run_in == "async" and self.limit is None

    def call(self, context: JobContext) -> Any:
        """Call the function for a job.

        Raises:
            ValidationError: The payload does not fit the function's parameters.
        """
        if self.arguments is None:
            return self.function(context)
        arguments = self.arguments.decode(context.lease.data)
        if self.arguments.context is not None:
            arguments[self.arguments.context] = context
        return self.function(**arguments)


class Routes:
    """The handlers of one queue.

    Attributes:
        max_result: The largest allowed result, in bytes.
        payloads: The payload store; None if there is none.
    """

    def __init__(self, queue: Queue) -> None:
        """Collect the handlers of a queue's tasks and its processor.

        Raises:
            ConfigurationError: A process handler cannot be found by another process.
        """
        self.max_result = queue.max_data_bytes
        self.payloads = queue.payloads
        self._queue = queue
        self._tasks = {
            task.name: Handler(task.function, task.run_in, task.arguments, task.concurrency)
            for task in queue.tasks.values()
        }
        default = queue.default_processor
        self._default = (
            None if default is None else Handler(default.function, default.run_in, None, None)
        )
        for handler in self.handlers():
            if handler.run_in == "process":
                reference(handler.function)

    def handlers(self) -> list[Handler]:
        """Return all handlers."""
        return [*self._tasks.values(), *([self._default] if self._default else [])]

    def find(self, lease: Lease) -> Handler | None:
        """Return the handler for a job; None if there is none."""
        return self._tasks.get(lease.name, self._default)

    def missing(self, lease: Lease) -> str:
        """Return the error message for a job that has no handler."""
        hint = did_you_mean(lease.name, self._tasks)
        return (
            f"this worker has no handler for {lease.name!r} in queue {str(self._queue)!r}; {hint}"
        )


def reference(function: Callable[..., Any]) -> FunctionRef:
    """Return where another process finds a function.

    Raises:
        ConfigurationError: The function is not at the top level of a module.
    """
    qualname = getattr(function, "__qualname__", "<")
    module = getattr(function, "__module__", None)
    if module is None or "<" in qualname:
        raise ConfigurationError(
            f"{function!r} runs in a separate process: define it at the top level of a module, "
            "so that the process can import it"
        )
    if module != "__main__":
        return FunctionRef(module, qualname)
    main = sys.modules["__main__"]
    if main.__spec__ is not None:  # python -m module
        return FunctionRef(main.__spec__.name, qualname)
    path = getattr(main, "__file__", None)
    if path is None:
        raise ConfigurationError(
            f"{function!r} runs in a separate process, which cannot import functions from an "
            "interactive session; move it to a module"
        )
    return FunctionRef(module, qualname, path)
