"""A queue as applications use it: handlers, adding, inspection and control in one object."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Concatenate, ParamSpec, TypeVar, Unpack, overload

from toril.engine.contract.engine import Engine
from toril.errors import ConfigurationError
from toril.model import codec
from toril.model.events import EventBus
from toril.model.job import DEFAULT_NAME, NewJob, QueueRef
from toril.model.job_options import HandlerKind, JobOptionArgs
from toril.payloads import PayloadStore
from toril.queues.context import JobContext
from toril.queues.control import Control
from toril.queues.decorator import Processor, TaskDecorator
from toril.queues.handle import JobHandle
from toril.queues.preparation import Defaults, Preparation
from toril.queues.results import Results
from toril.queues.submission import Submission
from toril.queues.task import AsyncTask, SyncTask, Task

P = ParamSpec("P")
R = TypeVar("R")


class Queue(Control):
    """A queue. Create it with `QueueManager.register_queue`.

    Attributes:
        default_options: The default options of the queue's jobs.
        max_data_bytes: The largest payload that is stored with its job, and the largest result.
        payloads: The payload store for larger payloads; None if there is none.
        tasks: The queue's tasks by name.
        default_processor: The processor that handles jobs of all other names; None if there is
            none.
    """

    def __init__(
        self,
        store: Callable[[], Engine],
        ref: QueueRef,
        *,
        bus: EventBus,
        results: Results | None = None,
        default_options: Mapping[str, Any] | None = None,
        max_data_bytes: int = codec.MAX_BYTES,
        payloads: PayloadStore | None = None,
    ) -> None:
        """Create a queue object. The queue itself is stored when the manager opens.

        Args:
            store: Returns the engine; called only when the engine is needed.
            ref: The queue's prefix and name.
            bus: Receives an event for each added job.
            results: Waits for results; shared with the manager's other queues.
            default_options: Default options of the queue's jobs, see `JobOptionArgs`.
            max_data_bytes: The largest payload that is stored with its job, and the largest result.
            payloads: The payload store for larger payloads.

        Raises:
            ValidationError: A default option is not valid.
        """
        super().__init__(
            Submission(
                store,
                ref,
                bus=bus,
                results=results or Results(store),
                max_data_bytes=max_data_bytes,
                payloads=payloads,
            )
        )
        self.max_data_bytes = max_data_bytes
        self.payloads = payloads
        self.tasks: dict[str, Task[..., Any]] = {}
        self.default_processor: Processor | None = None
        self._defaults = Defaults.of(default_options or {})
        self._preparation = Preparation(self._submission.encode, self._defaults_of)

    def __str__(self) -> str:
        return str(self.ref)

    def __repr__(self) -> str:
        return f"<Queue {self.ref}>"

    @property
    def name(self) -> str:
        """The queue's name, without the prefix."""
        return self.ref.name

    @property
    def default_options(self) -> Mapping[str, Any]:
        """The default options of the queue's jobs, as they were given."""
        return self._defaults.written

    def _defaults_of(self, name: str) -> Defaults:
        """Return the default options for a job: its task's, else the queue's."""
        task = self.tasks.get(name)
        if task is None:
            return self._defaults
        return Defaults(task.default_options, *task.prepared_options)

    @overload
    def task(
        self,
        name: str | None = None,
        *,
        run_in: HandlerKind = "auto",
        concurrency: int | None = None,
        **options: Unpack[JobOptionArgs],
    ) -> TaskDecorator: ...
    @overload
    def task(  # type: ignore[overload-overlap]  # a coroutine function is a function too
        self, name: Callable[Concatenate[JobContext, P], Coroutine[Any, Any, R]]
    ) -> AsyncTask[P, R]: ...
    @overload
    def task(  # type: ignore[overload-overlap]
        self, name: Callable[P, Coroutine[Any, Any, R]]
    ) -> AsyncTask[P, R]: ...
    @overload
    def task(self, name: Callable[Concatenate[JobContext, P], R]) -> SyncTask[P, R]: ...
    @overload
    def task(self, name: Callable[P, R]) -> SyncTask[P, R]: ...
    def task(
        self,
        name: Any = None,
        *,
        run_in: HandlerKind = "auto",
        concurrency: int | None = None,
        **options: Unpack[JobOptionArgs],
    ) -> Any:
        """Turn a function into a task whose calls can be enqueued.

        If the first parameter is annotated with `JobContext`, the worker supplies it; it is not
        part of the enqueued arguments.

        Args:
            name: The name of the task's jobs; defaults to the function's name.
            run_in: "async", "thread" or "process"; "auto" means "async" for coroutine functions
                and "thread" for others. Use "process" for functions that keep a CPU busy or may
                crash.
            concurrency: How many of its jobs one worker runs at once; None means no limit.
            **options: The default options of its jobs, see `JobOptionArgs`.

        Returns:
            A decorator, or the task itself if `task` is used without parentheses.

        Raises:
            ConfigurationError: The name is taken, or the function cannot be a task.
            ValidationError: An option is not valid.
        """
        decorator = TaskDecorator(
            self._submission,
            self.add_task,
            name=None if callable(name) else name,
            run_in=run_in,
            concurrency=concurrency,
            options={**self.default_options, **options},
        )
        return decorator(name) if callable(name) else decorator

    def add_task(self, task: Task[..., Any]) -> None:
        """Register a task, so that workers run it for jobs of its name.

        Raises:
            ConfigurationError: The queue already has a task of that name.
        """
        if task.name in self.tasks:
            raise ConfigurationError(
                f"queue {str(self)!r} already has a task {task.name!r}; use another name"
            )
        self.tasks[task.name] = task

    def processor(
        self, function: Callable[[JobContext], Any], *, run_in: HandlerKind = "auto"
    ) -> Processor:
        """Register a processor: a function for all jobs of the queue that have no task.

        Args:
            function: The function; it takes the job's context and returns the job's result.
            run_in: "async", "thread" or "process"; "auto" means "async" for coroutine functions
                and "thread" for others.

        Raises:
            ConfigurationError: The queue already has a processor, or the function cannot be one.
        """
        if self.default_processor is not None:
            raise ConfigurationError(f"queue {str(self)!r} already has a processor")
        self.default_processor = Processor(function, run_in)
        return self.default_processor

    @property
    def has_handlers(self) -> bool:
        """Whether the queue has a task or a processor."""
        return bool(self.tasks) or self.default_processor is not None

    async def add(
        self, name: str = DEFAULT_NAME, data: Any = None, **options: Unpack[JobOptionArgs]
    ) -> JobHandle[Any]:
        """Add a job.

        Args:
            name: The job's name.
            data: The payload: any JSON value.
            **options: See `JobOptionArgs`.

        Returns:
            A handle on the job, once it is stored.

        Raises:
            ValidationError: An argument is not valid; the error names the field.
            EngineError: The store failed. After a `StoreBusyError` the job may have been stored.
        """
        return await self._submission.submit(self._preparation.one(name, data, options))

    async def add_bulk(
        self, jobs: Sequence[Mapping[str, Any]], *, chunked: bool = False
    ) -> list[JobHandle[Any]]:
        """Add many jobs in one call: either all of them or none.

        Args:
            jobs: A mapping for each job, with `name`, `data` and `options` (see `JobOptionArgs`),
                all of them optional.
            chunked: Add any number of jobs, in as many calls as needed. If one fails, the jobs of
                the calls before it stay added. Otherwise at most 5,000 jobs can be added, each tag
                counting as one more, with 16 MiB of payloads.

        Returns:
            A handle on each job, in order.

        Raises:
            ValidationError: A job is not valid, and the error names its index and field; or they
                are too many or too large for one call. Nothing was added.
            PartlyAddedError: Only with `chunked`: a call failed after others had succeeded.
            EngineError: The store failed.
        """
        prepared = self._preparation.many(jobs)
        if chunked:
            return await self._submission.submit_in_chunks(prepared)
        return await self._submission.submit_all(prepared)

    async def add_jobs(
        self, jobs: Sequence[NewJob], *, chunked: bool = False
    ) -> list[JobHandle[Any]]:
        """Add jobs that were prepared with `task.job(...)`: either all of them or none.

        Args:
            jobs: The jobs.
            chunked: Add any number of jobs, in as many calls as needed; see `add_bulk`.

        Returns:
            A handle on each job, in order.

        Raises:
            ValidationError: They are too many or too large for one call. Nothing was added.
            PartlyAddedError: Only with `chunked`: a call failed after others had succeeded.
            EngineError: The store failed.
        """
        if chunked:
            return await self._submission.submit_in_chunks(jobs)
        return await self._submission.submit_all(jobs)
