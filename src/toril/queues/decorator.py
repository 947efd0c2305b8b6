"""Turns functions into handlers: the decorator behind `queue.task`, and processors."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Concatenate, ParamSpec, TypeVar, overload

from toril.errors import ConfigurationError
from toril.model.checks import check_text
from toril.model.job_options import HandlerKind
from toril.queues.context import JobContext
from toril.queues.submission import Submission
from toril.queues.task import AsyncTask, SyncTask, Task, is_async, resolve_kind

P = ParamSpec("P")
R = TypeVar("R")


class Processor:
    """A function that handles all jobs of a queue that have no task of their name.

    Attributes:
        function: The function, which takes the job's context.
        run_in: Where it runs: "async", "thread" or "process".
    """

    def __init__(self, function: Callable[[JobContext], Any], run_in: HandlerKind) -> None:
        """Create a processor without registering it; use `queue.processor` for that.

        Args:
            function: The function, which takes the job's context.
            run_in: Where it runs: "auto", "async", "thread" or "process".

        Raises:
            ConfigurationError: The function cannot be a processor.
        """
        name = getattr(function, "__name__", "processor")
        if not callable(function):
            raise ConfigurationError(f"{function!r} cannot be a processor: it must be a function")
        try:
            inspect.signature(function).bind(None)
        except (TypeError, ValueError):
            raise ConfigurationError(
                f"{function!r} cannot be a processor: it must be callable with the job's context "
                "alone"
            ) from None
        self.function = function
        self.run_in = resolve_kind(function, run_in, name)


class TaskDecorator:
    """The decorator that `queue.task(...)` returns.

    It is a class so that its overloads preserve the type of each kind of function.
    """

    def __init__(
        self,
        submission: Submission,
        add: Callable[[Task[..., Any]], None],
        *,
        name: str | None,
        run_in: HandlerKind,
        concurrency: int | None,
        options: Mapping[str, Any],
    ) -> None:
        """Create a decorator.

        Args:
            submission: Adds the task's jobs to its queue.
            add: Registers the task.
            name: The name of the task's jobs; defaults to the function's name.
            run_in: Where the function runs: "auto", "async", "thread" or "process".
            concurrency: How many of its jobs one worker runs at once; None means no limit.
            options: Options of its jobs, including the queue's defaults.
        """
        self._submission = submission
        self._add = add
        self._name = name
        self._run_in = run_in
        self._concurrency = concurrency
        self._options = options

    @overload
    def __call__(  # type: ignore[overload-overlap]  # as for `task`
        self, function: Callable[Concatenate[JobContext, P], Coroutine[Any, Any, R]]
    ) -> AsyncTask[P, R]: ...
    @overload
    def __call__(  # type: ignore[overload-overlap]
        self, function: Callable[P, Coroutine[Any, Any, R]]
    ) -> AsyncTask[P, R]: ...
    @overload
    def __call__(self, function: Callable[Concatenate[JobContext, P], R]) -> SyncTask[P, R]: ...
    @overload
    def __call__(self, function: Callable[P, R]) -> SyncTask[P, R]: ...
    def __call__(self, function: Callable[..., Any]) -> Task[..., Any]:
        make: type[Task[..., Any]] = AsyncTask if is_async(function) else SyncTask
        task = make(
            self._submission,
            function,
            self._name_of(function),
            options=self._options,
            run_in=self._run_in,
            concurrency=self._concurrency,
        )
        self._add(task)
        return task

    def _name_of(self, function: Callable[..., Any]) -> str:
        if self._name is not None:
            return check_text(self._name, "name")
        name = getattr(function, "__name__", None)
        if name is None:
            raise ConfigurationError(f'{function!r} has no name: use @queue.task("name")')
        return check_text(name, "name")
