"""A queue as an application holds it: add jobs, look at them, and control them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from typing import Any, Concatenate, ParamSpec, TypeAlias, TypeVar, Unpack, overload
from weakref import WeakKeyDictionary

from toril.engine.base import Added, AddStatus, Engine, Page, QueueInfo
from toril.errors import ConfigurationError, NotFoundError, ValidationError
from toril.model import codec
from toril.model.checks import check_text, is_integer
from toril.model.claim import BEGINNING, KEY
from toril.model.durations import Duration, to_ms
from toril.model.events import EventBus, JobAdded
from toril.model.ids import new_id
from toril.model.job import DEFAULT_NAME, Job, NewJob, QueueRef
from toril.model.job_options import HandlerKind, JobOptionArgs, JobOptions
from toril.model.state import FINAL, STORED, JobState
from toril.payloads import PayloadStore
from toril.queues.batching import Batcher
from toril.queues.claim_check import Claims
from toril.queues.context import JobContext
from toril.queues.decorator import Processor, TaskDecorator
from toril.queues.handle import JobHandle
from toril.queues.metrics import QueueMetrics, summarize
from toril.queues.results import Results
from toril.queues.task import AsyncTask, SyncTask, Task

P = ParamSpec("P")
R = TypeVar("R")

_Known: TypeAlias = dict[tuple[str, int], tuple[JobOptions, str, Any]]
"""What was made of options, by the job's name and their identity; they are kept alive with it."""

_BULK_FIELDS = frozenset({"name", "data", "options"})
_PAGE = 1000
_CLEANED_AT_MOST = 10**9
DEFAULT_WINDOW = 3600.0


class Queue:
    """One queue. `QueueManager.register_queue` makes it.

    Attributes:
        ref: Its prefix and name.
        default_options: What its jobs are asked for unless they say otherwise.
        max_data_bytes: The largest payload that is stored with its job, and the largest result.
        max_payload_bytes: The largest payload, wherever it is stored.
        payloads: Where larger payloads go; None is nowhere.
        claims: Gives their jobs claims on them; None where they go nowhere.
        tasks: Its typed tasks by name.
        fallback: What handles the jobs of other names, if anything does.
    """

    def __init__(
        self,
        store: Callable[[], Engine],
        ref: QueueRef,
        *,
        bus: EventBus,
        default_options: Mapping[str, Any] | None = None,
        max_data_bytes: int = codec.MAX_BYTES,
        payloads: PayloadStore | None = None,
    ) -> None:
        """Make a queue; it is stored when the manager opens.

        Args:
            store: Gives where its jobs live; asked when that is needed.
            ref: Its prefix and name.
            bus: Told of jobs that are added.
            default_options: Options as in `JobOptionArgs`.
            max_data_bytes: The largest payload that is stored with its job.
            payloads: Where larger payloads go.

        Raises:
            ValidationError: A default option is refused.
        """
        self.ref = ref
        self._store = store
        self.default_options = dict(default_options or {})
        self.max_data_bytes = max_data_bytes
        self.max_payload_bytes = max_data_bytes if payloads is None else payloads.max_bytes
        self.payloads = payloads
        self.claims = (
            None if payloads is None else Claims(payloads, min(payloads.threshold, max_data_bytes))
        )
        self.tasks: dict[str, Task[..., Any]] = {}
        self.fallback: Processor | None = None
        self._bus = bus
        parsed = JobOptions.of(self.default_options)
        self._defaults = parsed, codec.encode_options(parsed)
        # Futures belong to an event loop, and the sync facade has one of its own.
        self._batchers: WeakKeyDictionary[asyncio.AbstractEventLoop, Batcher] = WeakKeyDictionary()
        self._results: WeakKeyDictionary[asyncio.AbstractEventLoop, Results] = WeakKeyDictionary()

    def __str__(self) -> str:
        return str(self.ref)

    def __repr__(self) -> str:
        return f"<Queue {self.ref}>"

    @property
    def engine(self) -> Engine:
        """Where its jobs live."""
        return self._store()

    @property
    def name(self) -> str:
        """The name, without the prefix."""
        return self.ref.name

    # Handlers

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
        decorator = TaskDecorator(self, name, run_in, concurrency, options)
        if callable(name):
            decorator.name = None
            return decorator(name)
        return decorator

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
        if self.fallback is not None:
            raise ConfigurationError(f"queue {str(self)!r} has a processor already")
        self.fallback = Processor(function, run_in)
        return self.fallback

    @property
    def has_handlers(self) -> bool:
        """Whether a worker here could run any of its jobs."""
        return bool(self.tasks) or self.fallback is not None

    # Adding

    def encode(self, data: Any) -> str:
        """Return a payload as JSON, within this queue's limit.

        Raises:
            ValidationError: It has no JSON form, is too large, or would be taken for a claim.
        """
        text = codec.encode(data, "data", self.max_payload_bytes)
        if text.startswith(BEGINNING):
            raise ValidationError(
                f"data.{KEY}",
                "a payload cannot begin with this key: it stands for one that is kept elsewhere",
            )
        return text

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
        return await self.submit(self._prepare(name, data, options))

    async def add_bulk(self, jobs: Sequence[Mapping[str, Any]]) -> list[JobHandle[Any]]:
        """Add many jobs in one call: all of them, or none.

        Args:
            jobs: For each a mapping with `name`, `data` and `options` (see
                `JobOptionArgs`), each of which may be left out.

        Returns:
            A handle on each, in order.

        Raises:
            ValidationError: One is refused; the error names its place and field.
            EngineError: The store failed.
        """
        prepared: list[NewJob] = []
        known: _Known = {}
        for place, job in enumerate(jobs):
            try:
                prepared.append(self._prepare_one_of_many(job, known))
            except ValidationError as error:
                field = f"jobs[{place}].{error.field}".rstrip(".")
                raise ValidationError(field, error.message) from None
        return await self.add_jobs(prepared)

    def _prepare_one_of_many(self, job: Mapping[str, Any], known: _Known) -> NewJob:
        if type(job) is not dict and not isinstance(job, Mapping):
            raise ValidationError("", f"{job!r} is no mapping with name, data and options")
        if not job.keys() <= _BULK_FIELDS:
            unknown = min(job.keys() - _BULK_FIELDS)
            raise ValidationError(unknown, "a job has name, data and options")
        name, options = job.get("name", DEFAULT_NAME), job.get("options")
        try:  # jobs that share a name and a mapping share what is made of them
            parsed, as_json, _ = known[name, id(options)]
        except (KeyError, TypeError):
            _checked_name(name)
            parsed, as_json = (
                self._prepare_options(name, options) if options else self._defaults_of(name)
            )
            known[name, id(options)] = parsed, as_json, options
        return NewJob(
            parsed.job_id or new_id(),
            name,
            self.encode(job.get("data")),
            parsed,
            as_json,
        )

    async def add_jobs(self, jobs: Sequence[NewJob]) -> list[JobHandle[Any]]:
        """Add jobs that tasks prepared (`task.job(...)`): all of them, or none.

        Args:
            jobs: The jobs.

        Returns:
            A handle on each, in order.

        Raises:
            EngineError: The store failed.
        """
        if not jobs:
            return []
        if self.claims is not None:
            jobs = await self.claims.check_in(jobs)
        added = await self.engine.add(self.ref, jobs)
        if self._bus.wants(JobAdded):
            for job, answer in zip(jobs, added, strict=True):
                self._announce(job, answer)
        return [JobHandle(self, answer) for answer in added]

    async def submit(self, job: NewJob, result_type: Any = Any) -> JobHandle[Any]:
        """Add one job, together with others that are added at the same time.

        Args:
            job: The job.
            result_type: What its result is converted to.

        Raises:
            EngineError: The store failed.
        """
        if self.claims is not None and len(job.data) > self.claims.small:
            (job,) = await self.claims.check_in([job])
        loop = asyncio.get_running_loop()
        batcher = self._batchers.get(loop)
        if batcher is None:
            batcher = self._batchers[loop] = Batcher(self.engine, self.ref)
        added = await batcher.add(job)
        if self._bus.wants(JobAdded):
            self._announce(job, added)
        return JobHandle(self, added, result_type)

    def _announce(self, job: NewJob, added: Added) -> None:
        self._bus.emit(JobAdded(self.ref, added.id, job.name, added.status is AddStatus.CREATED))

    def _prepare(self, name: str, data: Any, options: Mapping[str, Any]) -> NewJob:
        _checked_name(name)
        parsed, as_json = (
            self._prepare_options(name, options) if options else self._defaults_of(name)
        )
        return NewJob(parsed.job_id or new_id(), name, self.encode(data), parsed, as_json)

    def _defaults_of(self, name: str) -> tuple[JobOptions, str]:
        """Return what a job that says nothing is asked for: its task's options, if it has one."""
        task = self.tasks.get(name)
        return self._defaults if task is None else task.prepared_options

    def _prepare_options(self, name: str, options: Mapping[str, Any]) -> tuple[JobOptions, str]:
        if not isinstance(options, Mapping):
            raise ValidationError("options", f"{options!r} is not a mapping")
        task = self.tasks.get(name)
        defaults = self.default_options if task is None else task.default_options
        parsed = JobOptions.of({**defaults, **options})
        return parsed, codec.encode_options(parsed)

    # Looking

    def handle(self, job_id: str) -> JobHandle[Any]:
        """Return a handle on a job by its id, without looking whether it is there.

        Args:
            job_id: The job.
        """
        return JobHandle(self, Added(job_id, AddStatus.DUPLICATE))

    def results(self) -> Results:
        """Return what tells the endings of this queue's jobs on the running event loop."""
        loop = asyncio.get_running_loop()
        results = self._results.get(loop)
        if results is None:
            results = self._results[loop] = Results(self.engine, self.ref)
        return results

    async def get(self, job_id: str) -> Job | None:
        """Return a job as it is now; None where it is not there.

        Args:
            job_id: The job.
        """
        return (await self.engine.get(self.ref, [job_id]))[0]

    async def info(self) -> QueueInfo:
        """Return whether the queue is paused, and its limits.

        Raises:
            NotFoundError: The queue has not been made yet.
        """
        info = await self.engine.info(self.ref)
        if info is None:
            raise NotFoundError(f"there is no queue {str(self)!r}")
        return info

    async def counts(self) -> dict[JobState, int]:
        """Return the number of jobs in each state.

        Raises:
            NotFoundError: The queue has not been made yet.
        """
        return await self.engine.counts(self.ref)

    async def metrics(self, window: Duration = DEFAULT_WINDOW) -> QueueMetrics:
        """Return the queue's numbers now, and over the time before.

        Args:
            window: How far back, in seconds; it is rounded to minutes.

        Raises:
            NotFoundError: The queue has not been made yet.
        """
        info = await self.info()
        window_ms = max(to_ms(window, "window"), 60_000)
        return summarize(info, await self.counts(), await self.engine.metrics(self.ref, window_ms))

    async def jobs(
        self,
        state: JobState | str | None = None,
        *,
        name: str | None = None,
        tag: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page:
        """Return a page of jobs.

        Args:
            state: In this state only; then next to run first, or last finished first.
            name: With this name only.
            tag: With this tag only.
            limit: How many at most, 1 to 1000.
            cursor: The page before's `cursor`.

        Returns:
            The jobs, and the cursor of the next page.

        Raises:
            ValidationError: The state, limit or cursor is refused.
            NotFoundError: The queue has not been made yet.
        """
        if not 1 <= limit <= _PAGE:
            raise ValidationError("limit", f"{limit} is not between 1 and {_PAGE}")
        states = () if state is None else (parse_state(state),)
        return await self.engine.page(
            self.ref, states=states, name=name, tag=tag, limit=limit, cursor=cursor
        )

    async def each(
        self,
        state: JobState | str | None = None,
        *,
        name: str | None = None,
        tag: str | None = None,
    ) -> AsyncIterator[Job]:
        """Go through all jobs, a page at a time; the arguments are those of `jobs`."""
        cursor = None
        while True:
            page = await self.jobs(state, name=name, tag=tag, limit=_PAGE, cursor=cursor)
            for job in page.jobs:
                yield job
            cursor = page.cursor
            if cursor is None:
                return

    # Control

    async def pause(self) -> None:
        """Let workers take nothing more from the queue. Running jobs go on."""
        await self.engine.pause(self.ref)

    async def resume(self) -> None:
        """Undo a pause."""
        await self.engine.resume(self.ref)

    async def lift_limits(self) -> None:
        """Take away all limits of rate and concurrency; what they held back is ready."""
        await self.engine.lift(self.ref)

    async def drain(self, *, delayed: bool = False) -> int:
        """Remove the jobs that wait.

        Args:
            delayed: The delayed ones too.

        Returns:
            How many were removed.
        """
        return await self.engine.drain(self.ref, delayed=delayed)

    async def clean(
        self,
        grace: Duration = 0,
        state: JobState | str = JobState.COMPLETED,
        limit: int | None = None,
    ) -> int:
        """Remove jobs that have been in a state for a while.

        Args:
            grace: At least this long, in seconds.
            state: The state.
            limit: How many at most, oldest first; None is all.

        Returns:
            How many were removed.

        Raises:
            ConflictError: Jobs of that state cannot be removed.
            ValidationError: There is no such state.
        """
        most = _CLEANED_AT_MOST if limit is None else limit
        if not is_integer(most) or most < 1:
            raise ValidationError("limit", f"{limit!r} is not a number from 1")
        removed = await self.engine.clean(self.ref, parse_state(state), to_ms(grace, "grace"), most)
        return len(removed)

    async def obliterate(self, *, force: bool = False) -> int:
        """Remove the queue and everything in it.

        Args:
            force: Even if jobs are active.

        Returns:
            How many jobs were removed.

        Raises:
            ConflictError: Jobs are active.
        """
        return await self.engine.obliterate(self.ref, force=force)

    async def retry_jobs(self, *, name: str | None = None, tag: str | None = None) -> int:
        """Run all failed jobs again, or those of a name or tag; return how many."""
        return await self._for_all(self.engine.retry, {JobState.FAILED}, name, tag)

    async def promote_jobs(self, *, name: str | None = None, tag: str | None = None) -> int:
        """Let all delayed jobs run now, or those of a name or tag; return how many."""
        return await self._for_all(self.engine.promote, {JobState.DELAYED}, name, tag)

    async def cancel_jobs(self, *, name: str | None = None, tag: str | None = None) -> int:
        """Cancel all jobs that have not ended, or those of a name or tag; return how many."""
        return await self._for_all(self.engine.cancel, STORED - FINAL, name, tag)

    async def remove_jobs(
        self,
        state: JobState | str | None = None,
        *,
        name: str | None = None,
        tag: str | None = None,
    ) -> int:
        """Remove all jobs that are not active, or those of a state, name or tag.

        Returns:
            How many were removed.
        """
        states = STORED - {JobState.ACTIVE} if state is None else {parse_state(state)}
        return await self._for_all(self.engine.remove, states, name, tag)

    async def _for_all(
        self,
        operation: Callable[[QueueRef, Sequence[str]], Coroutine[Any, Any, list[str]]],
        states: frozenset[JobState] | set[JobState],
        name: str | None,
        tag: str | None,
    ) -> int:
        """Do something to every job that fits, a page at a time."""
        total, cursor = 0, None
        while True:
            page = await self.engine.page(
                self.ref, states=sorted(states), name=name, tag=tag, limit=_PAGE, cursor=cursor
            )
            if page.jobs:
                total += len(await operation(self.ref, [job.id for job in page.jobs]))
            cursor = page.cursor
            if cursor is None:
                return total


def _checked_name(name: Any) -> str:
    return check_text(name, "name")


def parse_state(state: JobState | str, field: str = "state") -> JobState:
    """Return a state by its name.

    Args:
        state: The state, or its name as BullMQ writes it.
        field: The name to put into the error.

    Raises:
        ValidationError: No engine stores such a state.
    """
    try:
        parsed = JobState(state)
    except ValueError:
        parsed = None
    if parsed not in STORED:
        known = ", ".join(s for s in JobState if s in STORED)
        raise ValidationError(field, f"{state!r} is no state of a stored job; known: {known}")
    return parsed
