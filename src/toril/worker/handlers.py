"""Which function runs a job, and how it is called."""

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
    """Where another process finds a function: nothing of it comes from a job.

    Attributes:
        module: Its module.
        qualname: Its name in the module.
        main_path: The script to run first, where the module is the program itself.
    """

    module: str
    qualname: str
    main_path: str | None = None


class Handler:
    """A function that runs jobs.

    Attributes:
        function: The function.
        run_in: "async", "thread" or "process".
        arguments: What the function takes; None where it takes the context alone.
        limit: How many of its jobs run here at once; None is no limit.
        is_plain: It is a coroutine function without a limit.
    """

    __slots__ = ("arguments", "function", "is_plain", "limit", "run_in")

    def __init__(
        self,
        function: Callable[..., Any],
        run_in: HandlerKind,
        arguments: Arguments | None,
        concurrency: int | None,
    ) -> None:
        """Prepare a function.

        Args:
            function: The function.
            run_in: Where it runs.
            arguments: What it takes; None where it takes the context alone.
            concurrency: How many of its jobs run here at once.
        """
        self.function = function
        self.run_in = run_in
        self.arguments = arguments
        self.limit = None if concurrency is None else asyncio.Semaphore(concurrency)
        self.is_plain = run_in == "async" and self.limit is None

    def call(self, context: JobContext) -> Any:
        """Call the function for a job.

        Raises:
            ValidationError: The job's data are not the function's arguments.
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
        max_result: The largest result, in bytes.
        payloads: Where large payloads are; None is nowhere.
    """

    def __init__(self, queue: Queue) -> None:
        """Read a queue's tasks and processor.

        Raises:
            ConfigurationError: One is to run in a process that could not find it.
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
        """Return all of them."""
        return [*self._tasks.values(), *([self._default] if self._default else [])]

    def find(self, lease: Lease) -> Handler | None:
        """Return what runs a job; None where nothing does."""
        return self._tasks.get(lease.name, self._default)

    def missing(self, lease: Lease) -> str:
        """Return a sentence for a job that nothing runs."""
        hint = did_you_mean(lease.name, self._tasks)
        return (
            f"this worker has no handler for {lease.name!r} in queue {str(self._queue)!r}; {hint}"
        )


def reference(function: Callable[..., Any]) -> FunctionRef:
    """Return where another process finds a function.

    Raises:
        ConfigurationError: It is not at the top level of a module.
    """
    qualname = getattr(function, "__qualname__", "<")
    module = getattr(function, "__module__", None)
    if module is None or "<" in qualname:
        raise ConfigurationError(
            f"{function!r} is to run in a process of its own: define it at the top level of a "
            "module, where that process can find it"
        )
    if module != "__main__":
        return FunctionRef(module, qualname)
    main = sys.modules["__main__"]
    if main.__spec__ is not None:  # python -m module
        return FunctionRef(main.__spec__.name, qualname)
    path = getattr(main, "__file__", None)
    if path is None:
        raise ConfigurationError(
            f"{function!r} is to run in a process of its own, which cannot find what was typed "
            "into an interactive session; put it into a module"
        )
    return FunctionRef(module, qualname, path)
