"""Tasks: typed functions that can be called directly or enqueued as jobs."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Mapping
from copy import copy
from functools import update_wrapper
from typing import Any, Generic, ParamSpec, TypeVar, Unpack, cast

from toril.errors import ConfigurationError
from toril.model.checks import is_integer
from toril.model.ids import new_id
from toril.model.job import NewJob
from toril.model.job_options import HandlerKind, JobOptionArgs, JobOptions, encode_options
from toril.queues.arguments import Arguments
from toril.queues.context import current_job
from toril.queues.function_ref import reference
from toril.queues.handle import JobHandle
from toril.queues.submission import Submission

P = ParamSpec("P")
R = TypeVar("R")


class Task(Generic[P, R]):
    """A typed function that can run as a job. Create it with `queue.task`.

    Attributes:
        queue: The queue that its jobs are added to.
        name: The name of its jobs.
        function: The function.
        default_options: Default options of its jobs, including the queue's.
        prepared_options: The same options, validated and as JSON for the store.
        run_in: Where it runs: "async", "thread" or "process".
        concurrency: How many of its jobs one worker runs at once; None means no limit.
        arguments: The function's parameters.
    """

    def __init__(
        self,
        submission: Submission,
        function: Callable[..., Any],
        name: str,
        *,
        options: Mapping[str, Any],
        run_in: HandlerKind = "auto",
        concurrency: int | None = None,
    ) -> None:
        """Create a task without registering it; use `queue.task` for that.

        Args:
            submission: Adds its jobs to the queue.
            function: The function.
            name: The name of its jobs.
            options: Options of its jobs, including the queue's defaults.
            run_in: Where it runs; "auto" means "async" for coroutine functions and "thread" for
                others.
            concurrency: How many of its jobs one worker runs at once; None means no limit.

        Raises:
            ConfigurationError: The function cannot be a task.
            ValidationError: An option is not valid.
        """
        if not callable(function):
            raise ConfigurationError(f"{function!r} cannot be a task: it must be a function")
        update_wrapper(cast("Callable[..., Any]", self), function)
        self._submission = submission
        self.queue = submission.ref
        self.name = name
        self.function = function
        self.run_in = resolve_kind(function, run_in, name)
        self.concurrency = _checked_concurrency(concurrency, name)
        self.arguments = Arguments(function, name)
        self._set_options(options)

    def __repr__(self) -> str:
        return f"<Task {self.name} in {self.queue}>"

    async def enqueue(self, *args: P.args, **kwargs: P.kwargs) -> JobHandle[R]:
        """Add a job that calls the function with these arguments.

        Returns:
            A handle on the job, once it is stored.

        Raises:
            ValidationError: The arguments do not fit the function's signature or types.
            EngineError: The store failed.
        """
        job = self.job(*args, **kwargs)
        return await self._submission.submit(job, self.arguments.result_type)

    def job(self, *args: P.args, **kwargs: P.kwargs) -> NewJob:
        """Return the job that `enqueue` would add, to pass to `queue.add_jobs`.

        Raises:
            ValidationError: The arguments do not fit the function's signature or types.
        """
        return NewJob(
            self.prepared_options[0].job_id or new_id(),
            self.name,
            self.arguments.encode(args, kwargs, self._submission.max_payload_bytes),
            *self.prepared_options,
        )

    def options(self, **options: Unpack[JobOptionArgs]) -> Task[P, R]:
        """Return a copy of the task with different options for its jobs.

        Args:
            **options: The options to change, see `JobOptionArgs`.

        Raises:
            ValidationError: An option is unknown or not valid.
        """
        clone = copy(self)
        clone._set_options({**self.default_options, **options})  # noqa: SLF001 - the same class
        return clone

    def _call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call the function, passing on the context of the caller's job if it takes one."""
        if self.arguments.context is not None and self.arguments.context not in kwargs:
            try:
                kwargs = {**kwargs, self.arguments.context: current_job()}
            except LookupError:
                raise ConfigurationError(
                    f"task {self.name!r} takes the job's context, but the caller is not running "
                    "inside a job; call task.function(context, ...)"
                ) from None
            # The context is the first parameter, so positional arguments would take its place.
            names = self.arguments.names
            kwargs.update(zip(names, args, strict=False))
            args = args[len(names) :]
        return self.function(*args, **kwargs)

    def _set_options(self, options: Mapping[str, Any]) -> None:
        self.default_options = options
        parsed = JobOptions.of(options)
        self.prepared_options = parsed, encode_options(parsed)


class AsyncTask(Task[P, R]):
    """A task whose function is a coroutine function."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]:
        """Call the function directly, without a queue."""
        result: Coroutine[Any, Any, R] = self._call(args, kwargs)
        return result


class SyncTask(Task[P, R]):
    """A task whose function is not a coroutine function."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function directly, without a queue."""
        result: R = self._call(args, kwargs)
        return result


def is_async(function: Callable[..., Any]) -> bool:
    """Whether calling a function or a callable object returns a coroutine."""
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004 - inspects the method, not callability
    )


def resolve_kind(function: Callable[..., Any], run_in: HandlerKind, name: str) -> HandlerKind:
    """Resolve "auto", and check that a function can run where it should.

    Raises:
        ConfigurationError: The function cannot run there.
    """
    if run_in not in ("auto", "async", "thread", "process"):
        raise ConfigurationError(
            f"{name!r}: run_in must be auto, async, thread or process, not {run_in!r}"
        )
    if run_in == "process":
        reference(function)
    if is_async(function):
        if run_in == "thread":
            raise ConfigurationError(
                f"{name!r} is a coroutine function; use run_in='async' or run_in='process'"
            )
        return "async" if run_in == "auto" else run_in
    if run_in == "async":
        raise ConfigurationError(f"{name!r} is not a coroutine function; define it with async def")
    return "thread" if run_in == "auto" else run_in


def _checked_concurrency(value: int | None, name: str) -> int | None:
    if value is not None and (not is_integer(value) or value < 1):
        raise ConfigurationError(f"{name!r}: concurrency must be an integer ≥ 1, not {value!r}")
    return value
