"""A queue as an application holds it: handlers, adding, inspection and control in one object."""

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
    """One queue. `QueueManager.register_queue` makes it.

    Attributes:
        default_options: Default options of its jobs.
        max_data_bytes: The largest payload that is stored with its job, and the largest result.
        payloads: Where larger payloads go; None if nowhere.
        tasks: Its typed tasks by name.
        default_processor: Handles the jobs of all other names, if there is one.
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
        """Make a queue; it is stored when the manager opens.

        Args:
            store: Returns where its jobs live; asked when that is needed.
            ref: Its prefix and name.
            bus: Told of jobs that are added.
            results: Tells how jobs ended; shared with the manager's other queues.
            default_options: Options as in `JobOptionArgs`.
            max_data_bytes: The largest payload that is stored with its job.
            payloads: Where larger payloads go.

        Raises:
            ValidationError: A default option is refused.
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
        """The name, without the prefix."""
        return self.ref.name

    @property
    def default_options(self) -> Mapping[str, Any]:
        """Default options of its jobs, as they were written."""
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
    def task(  # type: ignore[overload-overlap]  # a coroutine function is a function, too
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
        """Make a function a task whose calls can be enqueued.

        Its first parameter may be annotated with `JobContext`: the worker fills it in,
        and it is no part of what is enqueued.

        Args:
            name: The name of its jobs; the function's own unless given.
            run_in: "async", "thread" or "process"; "auto" takes the first for coroutine
                functions and the second for others. Give "process" to what keeps a CPU
                busy, or may crash.
            concurrency: How many of its jobs one worker runs at once.
            **options: What its jobs are asked for, see `JobOptionArgs`.

        Returns:
            A decorator; used without parentheses, the task.

        Raises:
            ConfigurationError: The name is taken, or the function cannot be a task.
            ValidationError: An option is refused.
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
        """Let workers run a task for the jobs of its name.

        Raises:
            ConfigurationError: The name is taken.
        """
        if task.name in self.tasks:
            raise ConfigurationError(
                f"queue {str(self)!r} has a task {task.name!r} already; give this one another name"
            )
        self.tasks[task.name] = task

    def processor(
        self, function: Callable[[JobContext], Any], *, run_in: HandlerKind = "auto"
    ) -> Processor:
        """Let workers give a function every job of the queue that no task handles.

        Args:
            function: Takes the job's context; what it returns is the result.
            run_in: "async", "thread" or "process"; "auto" finds out.

        Raises:
            ConfigurationError: The queue has one already.
        """
        if self.default_processor is not None:
            raise ConfigurationError(f"queue {str(self)!r} has a processor already")
        self.default_processor = Processor(function, run_in)
        return self.default_processor

    @property
    def has_handlers(self) -> bool:
        """Whether a worker here could run any of its jobs."""
        return bool(self.tasks) or self.default_processor is not None

    async def add(
        self, name: str = DEFAULT_NAME, data: Any = None, **options: Unpack[JobOptionArgs]
    ) -> JobHandle[Any]:
        """Add a job.

        Args:
            name: What kind of work it is.
            data: The payload: anything JSON.
            **options: See `JobOptionArgs`.

        Returns:
            A handle on the job, once it is stored.

        Raises:
            ValidationError: Something is refused; the error names the field.
            EngineError: The store failed. After a `StoreBusyError` the job may be there.
        """
        return await self._submission.submit(self._preparation.one(name, data, options))

    async def add_bulk(self, jobs: Sequence[Mapping[str, Any]]) -> list[JobHandle[Any]]:
        """Add many jobs in one call: all of them, or none.

        Args:
            jobs: For each a mapping with `name`, `data` and `options` (see `JobOptionArgs`),
                each of which may be left out.

        Returns:
            A handle on each, in order.

        Raises:
            ValidationError: One is refused; the error names its place and field.
            EngineError: The store failed.
        """
        return await self._submission.submit_all(self._preparation.many(jobs))

    async def add_jobs(self, jobs: Sequence[NewJob]) -> list[JobHandle[Any]]:
        """Add jobs that tasks prepared with `task.job(...)`: all of them, or none.

        Args:
            jobs: The jobs.

        Returns:
            A handle on each, in order.

        Raises:
            EngineError: The store failed.
        """
        return await self._submission.submit_all(jobs)
