"""Finds the handler for a job and calls it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from toril.errors import did_you_mean
from toril.model.job import Lease
from toril.model.job_options import HandlerKind
from toril.queues.arguments import Arguments
from toril.queues.context import JobContext
from toril.queues.function_ref import FunctionRef, check_found, reference
from toril.queues.queue import Queue
from toril.worker.script import refuse_unguarded


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

    def reference(self) -> FunctionRef:
        """Return where another process finds the function."""
        return reference(self.function)

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
            ConfigurationError: A process handler cannot be found by another process, which
                would find nothing, something else, or a program that starts itself again.
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
                check_found(handler.function, handler.reference())
                if handler.function.__module__ == "__main__":
                    refuse_unguarded()

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
