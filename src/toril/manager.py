"""What an application holds: queues, workers and control in one object that only delegates."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, Unpack, overload

from toril.config import Settings
from toril.engine.base import Engine, Finding
from toril.errors import ConfigurationError, ValidationError
from toril.model import codec
from toril.model.checks import check_name, is_integer
from toril.model.claim import has_claim
from toril.model.durations import Duration, to_ms
from toril.model.events import Event, EventBus
from toril.model.job import DEFAULT_NAME, Job, QueueRef
from toril.model.job_options import HandlerKind, JobOptionArgs
from toril.model.limits import Limits, RateLimits
from toril.model.options import Backoff
from toril.model.state import JobState
from toril.payloads import PayloadStore, open_payload_store, redeem
from toril.production import refuse_what_loses_jobs, warn_of_what_loses_jobs
from toril.queues.context import JobContext
from toril.queues.handle import JobHandle
from toril.queues.metrics import QueueMetrics
from toril.queues.queue import DEFAULT_WINDOW, Queue
from toril.stores import open_engine
from toril.worker.middleware import Middleware
from toril.worker.shutdown import on_signals
from toril.worker.worker import BackoffStrategy, Worker, WorkerSettings

if TYPE_CHECKING:
    from toril.facade import SyncQueueManager

E = TypeVar("E", bound=Event)

_logger = logging.getLogger("toril.manager")

_DAY = timedelta(days=1)


class QueueManager:
    """Queues, workers and control of one store.

    Use it as `async with manager:`, which closes it at the end. It may be made at import
    time: nothing connects before the first call.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        prefix: str | None = None,
        settings: Settings | None = None,
        engine: Engine | None = None,
        payload_store: str | Path | None = None,
        payload_threshold: int | None = None,
        payload_max_bytes: int | None = None,
    ) -> None:
        """Make a manager.

        Args:
            url: Where jobs live, see `open_engine`; the settings' unless given.
            prefix: The bounded context that queues belong to unless they name another.
            settings: Instead of those of the environment.
            engine: Instead of one that the URL names.
            payload_store: Where large payloads are kept: a folder as a path or a file URL, or any
                URL of fsspec's; the settings' unless given, and with their jobs without any.
            payload_threshold: The largest payload that stays with its job all the same, in bytes.
            payload_max_bytes: The largest payload that goes there.

        Raises:
            ConfigurationError: The URL or a setting is wrong, or a package is missing.
        """
        self.settings = settings or Settings.from_environment()
        self.url = url or self.settings.url
        self._engine = engine
        self.prefix = check_name(prefix or self.settings.prefix, "prefix")
        self._payloads = _payloads(
            self.settings, payload_store, payload_threshold, payload_max_bytes
        )
        self.events = EventBus()
        self._queues: dict[QueueRef, Queue] = {}
        self._limits: dict[QueueRef, Limits] = {}
        self._middleware: list[Middleware] = []
        self._strategies: dict[str, BackoffStrategy] = {}
        self._workers: dict[Worker, asyncio.Task[None]] = {}
        self._sync: SyncQueueManager | None = None

    def __repr__(self) -> str:
        return f"<QueueManager {self.engine.location}>"

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.shutdown()

    async def open(self) -> None:
        """Connect, and store the queues that were registered so far.

        Raises:
            ConfigurationError: In production, the store is set to throw jobs away.
            EngineError: The store cannot be opened.
        """
        await self.engine.open()
        if self.settings.production:
            await refuse_what_loses_jobs(self.engine)
        await self._store_queues()

    async def _open_for_work(self) -> None:
        await self.open()
        if not self.settings.production:
            await warn_of_what_loses_jobs(self.engine)

    async def shutdown(self) -> None:
        """Stop the workers that `start_workers` started, and close the store."""
        workers, self._workers = self._workers, {}
        try:
            await asyncio.gather(*(_end(worker, task) for worker, task in workers.items()))
        finally:
            await self.engine.close()
            if self._sync is not None and not self._sync.is_this_thread:
                await asyncio.to_thread(self._sync.end_thread)

    # Set-up

    @property
    def engine(self) -> Engine:
        """Where jobs live.

        Raises:
            ConfigurationError: The URL names no engine; it is looked at only when needed, so
                that a manager can be imported and told to use another.
        """
        if self._engine is None:
            self._engine = open_engine(self.url)
        return self._engine

    def use(self, engine: Engine) -> None:
        """Keep jobs elsewhere than the URL says; before anything was added or opened.

        Args:
            engine: Where.
        """
        self._engine = engine

    def register_queue(
        self,
        name: str,
        *,
        prefix: str | None = None,
        rate_limit: RateLimits | None = None,
        concurrency: int | None = None,
        concurrency_by_key: Mapping[str, int] | None = None,
        default_job_options: Mapping[str, Any] | None = None,
        max_data_bytes: int = codec.MAX_BYTES,
    ) -> Queue:
        """Return a queue, making it known.

        Args:
            name: Its name, without a colon; unique together with the prefix.
            prefix: The bounded context it belongs to; the manager's unless given.
            rate_limit: How many jobs may start in a time, over all workers; or two limits, one
                of them with `by`: for each value of that field.
            concurrency: How many jobs may run at once, over all workers.
            concurrency_by_key: How many may run at once for each value of a field, over all
                workers: {"tenant": 5}.
            default_job_options: What its jobs are asked for unless they say otherwise,
                see `JobOptionArgs`.
            max_data_bytes: The largest payload that is stored with its job, and the largest
                result. Where there is a store of payloads, larger ones go there.

        Raises:
            ConfigurationError: It is registered already.
            ValidationError: The name, a limit or an option is refused.
        """
        ref = QueueRef(
            self.prefix if prefix is None else check_name(prefix, "prefix"),
            check_name(name, "queue"),
        )
        known = self._queues.get(ref)
        if known is not None:
            raise ConfigurationError(
                f"queue {str(ref)!r} is registered already; manager.queue({name!r}) returns it"
            )
        limits = Limits.of(rate_limit, concurrency, concurrency_by_key)
        if not is_integer(max_data_bytes) or max_data_bytes < 1:
            raise ValidationError("max_data_bytes", f"{max_data_bytes!r} is not a number from 1")
        if default_job_options is not None and not isinstance(default_job_options, Mapping):
            raise ValidationError("default_job_options", f"{default_job_options!r} is no mapping")
        self._limits[ref] = limits
        queue = self._queues[ref] = Queue(
            lambda: self.engine,
            ref,
            bus=self.events,
            default_options={**self.settings.default_job_options, **(default_job_options or {})},
            max_data_bytes=max_data_bytes,
            payloads=self._payloads,
        )
        return queue

    def queue(self, name: str) -> Queue:
        """Return a queue, registering it if it is not yet.

        Args:
            name: Its name, or `prefix:name` where the prefix is not the manager's.

        Raises:
            ValidationError: The name is refused.
        """
        ref = self._ref(name)
        return self._queues.get(ref) or self.register_queue(ref.name, prefix=ref.prefix)

    def _ref(self, name: str) -> QueueRef:
        prefix, colon, rest = str(name).partition(":")
        return QueueRef(prefix, rest) if colon else QueueRef(self.prefix, name)

    def _known(self, name: str) -> Queue:
        """Return a queue to look at or control, which does not make one of a misspelt name."""
        return self._look_at(self._ref(name))

    @property
    def registered(self) -> list[Queue]:
        """The queues that this manager knows; `get_all_metrics` has those of the store."""
        return list(self._queues.values())

    def register_processor(
        self,
        queue: str,
        processor: Callable[[JobContext], Any],
        *,
        run_in: HandlerKind = "auto",
    ) -> None:
        """Let workers give a function every job of a queue that no task handles.

        Args:
            queue: The queue's name.
            processor: Takes the job's context; what it returns is the result.
            run_in: "async", "thread" or "process"; "auto" finds out.

        Raises:
            ConfigurationError: The queue has one already.
        """
        self.queue(queue).processor(processor, run_in=run_in)

    def register_backoff(self, name: str, strategy: BackoffStrategy) -> None:
        """Let jobs ask for a backoff of your own: `Backoff.custom(name)`.

        Args:
            name: What jobs call it.
            strategy: Gives the seconds to wait from the number of failed attempts and
                the last error.

        Raises:
            ConfigurationError: The name is Toril's own.
        """
        if not Backoff(name).is_custom:
            raise ConfigurationError(f"{name!r} is a backoff of Toril's own; choose another name")
        if not callable(strategy):
            raise ConfigurationError(f"{strategy!r} cannot be called: give a function")
        self._strategies[name] = strategy

    def add_middleware(self, middleware: Middleware) -> Middleware:
        """Put a function around every handler; the first added is the outermost.

        Args:
            middleware: Takes the job's context and a function that runs the rest.

        Returns:
            The same, so that it may serve as a decorator.
        """
        self._middleware.append(middleware)
        return middleware

    @overload
    def on(self, kind: type[E]) -> Callable[[Callable[[E], None]], Callable[[E], None]]: ...
    @overload
    def on(self, kind: type[E], subscriber: Callable[[E], None]) -> Callable[[], None]: ...
    def on(self, kind: type[E], subscriber: Callable[[E], None] | None = None) -> Any:
        """Call a function with each event of a type that happens in this process.

        Args:
            kind: The type, for example `JobFailed`.
            subscriber: Called on the event loop; it must not block.

        Returns:
            A function that ends the subscription; without a subscriber, a decorator.
        """
        if subscriber is not None:
            return self.events.subscribe(kind, subscriber)

        def decorate(function: Callable[[E], None]) -> Callable[[E], None]:
            self.events.subscribe(kind, function)
            return function

        return decorate

    # Jobs

    async def add_job(
        self,
        queue: str,
        name: str = DEFAULT_NAME,
        data: Any = None,
        **options: Unpack[JobOptionArgs],
    ) -> JobHandle[Any]:
        """Add a job.

        Args:
            queue: The queue's name.
            name: What kind of work it is.
            data: The payload: anything JSON.
            **options: See `JobOptionArgs`.

        Returns:
            A handle on the job, once it is stored.

        Raises:
            ValidationError: Something is refused; the error names the field.
            EngineError: The store failed. After a `StoreBusyError` the job may be there.
        """
        return await self.queue(queue).add(name, data, **options)

    async def add_bulk(self, queue: str, jobs: Sequence[Mapping[str, Any]]) -> list[JobHandle[Any]]:
        """Add many jobs in one call: all of them, or none.

        Args:
            queue: The queue's name.
            jobs: For each a mapping with `name`, `data` and `options`.

        Returns:
            A handle on each, in order.

        Raises:
            ValidationError: One is refused; the error names its place and field.
            EngineError: The store failed.
        """
        return await self.queue(queue).add_bulk(jobs)

    async def get_job(self, queue: str, job_id: str) -> Job | None:
        """Return a job as it is now; None where it is not there.

        Args:
            queue: The queue's name.
            job_id: The job.
        """
        return await self._known(queue).get(job_id)

    async def load_payload(self, job: Job) -> Any:
        """Return a job's payload, also where the job carries only a claim on it.

        Args:
            job: The job.

        Raises:
            PayloadLostError: It is not in the store of payloads any more, or damaged.
            StoreUnavailableError: It cannot be read now.
            ConfigurationError: There is no store of payloads here, or it allows only smaller ones.
        """
        if not has_claim(job.data_json):
            return job.data
        return codec.decode(await asyncio.to_thread(redeem, job.data_json, self._payloads))

    async def clean_payloads(self, *, older_than: Duration) -> int:
        """Remove large payloads by their age, whether a job still needs them or not.

        Args:
            older_than: Those of days that ended so long ago, in seconds: more than the longest
                time from a job's addition to its removal.

        Returns:
            How many were removed.

        Raises:
            ConfigurationError: There is no store of payloads here.
            EngineError: They could not be removed; some may have been.
        """
        age_ms = to_ms(older_than, "older_than")
        if self._payloads is None:
            raise ConfigurationError("no payload_store is set: there are no payloads to remove")
        return await asyncio.to_thread(self._payloads.remove_older_than, age_ms)

    # Queues

    async def get_queue_metrics(
        self, queue: str, window: Duration = DEFAULT_WINDOW
    ) -> QueueMetrics:
        """Return a queue's numbers now, and over the time before.

        Args:
            queue: The queue's name.
            window: How far back, in seconds.

        Raises:
            NotFoundError: There is no such queue.
        """
        await self._store_queues()
        return await self._known(queue).metrics(window)

    async def get_all_metrics(self, window: Duration = DEFAULT_WINDOW) -> list[QueueMetrics]:
        """Return the numbers of every queue in the store, registered here or not.

        Args:
            window: How far back, in seconds.
        """
        await self._store_queues()
        infos = await self.engine.queues()
        return [await self._look_at(info.ref).metrics(window) for info in infos]

    async def pause_queue(self, queue: str) -> None:
        """Let workers take nothing more from a queue. Running jobs go on.

        Raises:
            NotFoundError: There is no such queue.
        """
        await self._store_queues()
        await self._known(queue).pause()

    async def resume_queue(self, queue: str) -> None:
        """Undo a pause.

        Raises:
            NotFoundError: There is no such queue.
        """
        await self._store_queues()
        await self._known(queue).resume()

    async def clean_queue(
        self,
        queue: str,
        grace: Duration = _DAY,
        state: JobState | str = JobState.COMPLETED,
        limit: int | None = None,
    ) -> int:
        """Remove jobs that have been in a state for a while.

        Args:
            queue: The queue's name.
            grace: At least this long, in seconds; a day unless given.
            state: The state.
            limit: How many at most, oldest first; None is all.

        Returns:
            How many were removed.

        Raises:
            NotFoundError: There is no such queue.
            ConflictError: Jobs of that state cannot be removed.
        """
        await self._store_queues()
        return await self._known(queue).clean(grace, state, limit)

    async def examine(self) -> list[Finding]:
        """Look for what would lose jobs or slow them down."""
        return await self.engine.examine()

    # Workers

    async def run_workers(
        self,
        concurrency: int | None = None,
        *,
        queues: Sequence[str] | None = None,
        burst: bool = False,
        settings: WorkerSettings | None = None,
    ) -> None:
        """Work until a signal: the first lets running jobs finish, the second does not.

        Args:
            concurrency: How many jobs run at once; the settings' unless given.
            queues: Which queues; all that have handlers unless given.
            burst: Stop when nothing is left that runs, is ready, or is due within a minute.
            settings: The worker's other settings.

        Raises:
            ConfigurationError: A queue has no handler, or none has.
            EngineError: The store cannot be opened.
        """
        worker = self.worker(concurrency, queues=queues, settings=settings)
        await self._open_for_work()
        with on_signals(worker.stop, lambda: worker.stop(force=True)):
            await worker.run(burst=burst)

    async def start_workers(
        self,
        concurrency: int | None = None,
        *,
        queues: Sequence[str] | None = None,
        settings: WorkerSettings | None = None,
    ) -> Worker:
        """Work in the background until `shutdown`; the arguments are those of `run_workers`.

        Returns:
            The worker.
        """
        worker = self.worker(concurrency, queues=queues, settings=settings)
        await self._open_for_work()
        task = asyncio.create_task(worker.run(), name="toril-worker")
        task.add_done_callback(_log_error)
        self._workers[worker] = task
        return worker

    def worker(
        self,
        concurrency: int | None = None,
        *,
        queues: Sequence[str] | None = None,
        settings: WorkerSettings | None = None,
    ) -> Worker:
        """Return a worker that has not started; the arguments are those of `run_workers`."""
        if queues is None:
            served = [queue for queue in self.registered if queue.has_handlers]
            if not served:
                raise ConfigurationError(
                    "no queue has a handler: give one a task with @queue.task, "
                    "or a processor with manager.register_processor"
                )
        else:
            served = [self.queue(name) for name in queues]
        chosen = settings or WorkerSettings(concurrency=self.settings.concurrency)
        if concurrency is not None:
            chosen = _with_concurrency(chosen, concurrency)
        return Worker(
            self.engine,
            served,
            chosen,
            bus=self.events,
            middleware=tuple(self._middleware),
            strategies=self._strategies,
        )

    @property
    def sync(self) -> SyncQueueManager:
        """The same, for code without an event loop."""
        from toril.facade import SyncQueueManager  # noqa: PLC0415 - it is made from this class

        if self._sync is None:
            self._sync = SyncQueueManager(self)
        return self._sync

    def _look_at(self, ref: QueueRef) -> Queue:
        """Return a queue of the store without making it known here."""
        return self._queues.get(ref) or Queue(
            lambda: self.engine, ref, bus=self.events, payloads=self._payloads
        )

    async def _store_queues(self) -> None:
        """Store the queues that were registered since the last time."""
        while self._limits:
            ref, limits = self._limits.popitem()
            try:
                await self.engine.register(
                    ref,
                    rate_limit=limits.rate,
                    concurrency=limits.concurrency,
                    by_key=limits.by_key,
                )
            except BaseException:
                self._limits[ref] = limits
                raise


def _payloads(
    settings: Settings, where: str | Path | None, threshold: int | None, max_bytes: int | None
) -> PayloadStore | None:
    """Return the store of payloads that arguments name, or else the settings."""
    where = settings.payload_store if where is None else where
    if where is None:
        return None
    return open_payload_store(
        where,
        threshold=settings.payload_threshold if threshold is None else threshold,
        max_bytes=settings.payload_max_bytes if max_bytes is None else max_bytes,
    )


async def _end(worker: Worker, task: asyncio.Task[None]) -> None:
    """Stop a background worker and wait for its end, on the loop that it runs on."""

    async def end() -> None:
        worker.stop()
        await task

    loop = task.get_loop()
    if loop is asyncio.get_running_loop():
        await end()
    else:  # the sync facade's
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(end(), loop))


def _log_error(worker: asyncio.Task[None]) -> None:
    """Say at once that a background worker ended with an error: `shutdown` may be far away."""
    if not worker.cancelled() and (error := worker.exception()) is not None:
        _logger.error("a background worker ended", exc_info=error)


def _with_concurrency(settings: WorkerSettings, concurrency: int) -> WorkerSettings:
    fields = {name: getattr(settings, name) for name in settings.__struct_fields__}
    return WorkerSettings(**{**fields, "concurrency": concurrency})
