"""Registers queues, handlers, backoff strategies, middleware and subscribers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, overload

from toril.application.stores import open_engine
from toril.config import Settings
from toril.engine.contract.engine import Engine
from toril.errors import ConfigurationError, ValidationError
from toril.model import codec
from toril.model.checks import check_integer, check_prefix, check_queue_name
from toril.model.events import Event, EventBus
from toril.model.job import QueueRef
from toril.model.job_options import HandlerKind
from toril.model.limits import Limits, RateLimits
from toril.model.options import Backoff
from toril.model.settlement import SettlementHook
from toril.payloads import PayloadStore, open_payload_store
from toril.queues.context import JobContext
from toril.queues.queue import Queue
from toril.queues.results import Results
from toril.worker.middleware import Middleware
from toril.worker.retry_delay import BackoffStrategy

E = TypeVar("E", bound=Event)


class PayloadArgs(NamedTuple):
    """The arguments for the payload store; see `QueueManager`."""

    store: str | Path | None = None
    threshold: int | None = None
    max_bytes: int | None = None


class Registration:
    """The methods of a manager that an application calls at import time.

    Attributes:
        settings: The settings.
        url: The store's URL.
        prefix: The prefix of queues that do not name one.
        events: Delivers the events of this process to subscribers.
    """

    def __init__(
        self,
        url: str | None,
        *,
        prefix: str | None,
        settings: Settings | None,
        engine: Engine | None,
        payloads: PayloadArgs,
    ) -> None:
        """Create a registration; takes the same arguments as `QueueManager`."""
        self.settings = settings or Settings.from_environment()
        self.url = url or self.settings.url
        self.prefix = check_prefix(prefix or self.settings.prefix)
        self.events = EventBus()
        self._engine = engine
        self._payloads = _open_payloads(self.settings, payloads)
        self._results = Results(lambda: self.engine)
        self._queues: dict[QueueRef, Queue] = {}
        self._limits: dict[QueueRef, Limits] = {}  # of queues that are not stored yet
        self._registered: dict[QueueRef, Limits] = {}
        self._middleware: list[Middleware] = []
        self._strategies: dict[str, BackoffStrategy] = {}
        self._hooks: list[SettlementHook] = []

    @property
    def engine(self) -> Engine:
        """The engine that stores the jobs.

        It is created on first use, so that a manager can be imported and then given another one.

        Raises:
            ConfigurationError: The URL does not name an engine.
        """
        if self._engine is None:
            self._engine = open_engine(self.url)
        return self._engine

    def use(self, engine: Engine) -> None:
        """Use another engine than the one that the URL names.

        Call this before jobs are added or the manager is opened.

        Args:
            engine: The engine.
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
        """Register a queue and return it.

        Args:
            name: The queue's name, without a colon; unique together with the prefix.
            prefix: The queue's prefix; defaults to the manager's.
            rate_limit: How many jobs may start within a time, across all workers. It can be two
                limits, one of them with `by`, which applies to each value of that field.
            concurrency: How many jobs may run at once, across all workers.
            concurrency_by_key: How many jobs may run at once for each value of a field, across
                all workers, for example {"tenant": 5}.
            default_job_options: The default options of the queue's jobs, see `JobOptionArgs`.
            max_data_bytes: The largest payload that is stored with its job, and the largest
                result. If there is a payload store, larger payloads go there.

        Raises:
            ConfigurationError: The queue is already registered.
            ValidationError: The name, a limit or an option is not valid.
        """
        ref = QueueRef(
            self.prefix if prefix is None else check_prefix(prefix),
            check_queue_name(name),
        )
        known = self._queues.get(ref)
        if known is not None:
            raise ConfigurationError(
                f"queue {str(ref)!r} is already registered; manager.queue({name!r}) returns it"
            )
        limits = Limits.of(rate_limit, concurrency, concurrency_by_key)
        check_integer(max_data_bytes, "max_data_bytes", 1)
        if default_job_options is not None and not isinstance(default_job_options, Mapping):
            raise ValidationError(
                "default_job_options", f"must be a mapping, not {default_job_options!r}"
            )
        self._limits[ref] = self._registered[ref] = limits
        queue = self._queues[ref] = Queue(
            lambda: self.engine,
            ref,
            bus=self.events,
            results=self._results,
            default_options={**self.settings.default_job_options, **(default_job_options or {})},
            max_data_bytes=max_data_bytes,
            payloads=self._payloads,
        )
        return queue

    def queue(self, name: str) -> Queue:
        """Return a queue, and register it first if necessary.

        Args:
            name: The queue's name, or `prefix:name` if the prefix is not the manager's.

        Raises:
            ValidationError: The name is not valid.
        """
        ref = self._ref(name)
        return self._queues.get(ref) or self.register_queue(ref.name, prefix=ref.prefix)

    def _ref(self, name: str) -> QueueRef:
        prefix, colon, rest = str(name).rpartition(":")  # only a prefix may contain colons
        return QueueRef(prefix, rest) if colon else QueueRef(self.prefix, name)

    @property
    def registered(self) -> list[Queue]:
        """The queues registered with this manager; for all queues, see `get_all_metrics`."""
        return list(self._queues.values())

    def register_processor(
        self,
        queue: str,
        processor: Callable[[JobContext], Any],
        *,
        run_in: HandlerKind = "auto",
    ) -> None:
        """Register a processor: a function for all jobs of a queue that have no task.

        Args:
            queue: The queue's name.
            processor: The function; it takes the job's context and returns the job's result.
            run_in: "async", "thread" or "process"; "auto" means "async" for coroutine functions
                and "thread" for others.

        Raises:
            ConfigurationError: The queue already has a processor, or the function cannot be one.
        """
        self.queue(queue).processor(processor, run_in=run_in)

    def register_backoff(self, name: str, strategy: BackoffStrategy) -> None:
        """Register a custom backoff strategy, which jobs use with `Backoff.custom(name)`.

        Args:
            name: The strategy's name.
            strategy: Returns the delay in seconds for a number of failed attempts and the last
                error.

        Raises:
            ConfigurationError: The name belongs to a built-in backoff, or the strategy is not
                callable.
        """
        if not Backoff(name).is_custom:
            raise ConfigurationError(f"{name!r} is a built-in backoff; choose another name")
        if not callable(strategy):
            raise ConfigurationError(f"{strategy!r} is not callable; it must be a function")
        self._strategies[name] = strategy

    def add_middleware(self, middleware: Middleware) -> Middleware:
        """Wrap every handler in middleware; the first one added is the outermost.

        Args:
            middleware: Takes the job's context and a function that calls the next layer.

        Returns:
            The middleware itself, so that this method can be used as a decorator.
        """
        self._middleware.append(middleware)
        return middleware

    @overload
    def on(self, kind: type[E]) -> Callable[[Callable[[E], None]], Callable[[E], None]]: ...
    @overload
    def on(self, kind: type[E], subscriber: Callable[[E], None]) -> Callable[[], None]: ...
    def on(self, kind: type[E], subscriber: Callable[[E], None] | None = None) -> Any:
        """Call a function for each event of a type in this process.

        Args:
            kind: The type of event, for example `JobFailed`.
            subscriber: The function. It is called on the event loop and must not block.

        Returns:
            A function that ends the subscription, or a decorator if no subscriber is given.
        """
        if subscriber is not None:
            return self.events.subscribe(kind, subscriber)

        def decorate(function: Callable[[E], None]) -> Callable[[E], None]:
            self.events.subscribe(kind, function)
            return function

        return decorate


def _open_payloads(settings: Settings, given: PayloadArgs) -> PayloadStore | None:
    """Return the payload store that the arguments name, or else the one in the settings."""
    where = settings.payload_store if given.store is None else given.store
    if where is None:
        return None
    return open_payload_store(
        where,
        threshold=settings.payload_threshold if given.threshold is None else given.threshold,
        max_bytes=settings.payload_max_bytes if given.max_bytes is None else given.max_bytes,
    )
