"""Setting up: queues, handlers, backoff strategies, middleware, subscribers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, overload

from toril.application.stores import open_engine
from toril.config import Settings
from toril.engine.contract.engine import Engine
from toril.errors import ConfigurationError, ValidationError
from toril.model import codec
from toril.model.checks import check_integer, check_name
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
    """Where large payloads go, as arguments; see `QueueManager`."""

    store: str | Path | None = None
    threshold: int | None = None
    max_bytes: int | None = None


class Registration:
    """The part of a manager that an application sets up when it is imported.

    Attributes:
        settings: The settings.
        url: Where jobs live.
        prefix: The bounded context that queues belong to unless they name another.
        events: Hands out what happens in this process.
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
        """Prepare; the arguments are those of `QueueManager`."""
        self.settings = settings or Settings.from_environment()
        self.url = url or self.settings.url
        self.prefix = check_name(prefix or self.settings.prefix, "prefix")
        self.events = EventBus()
        self._engine = engine
        self._payloads = _open_payloads(self.settings, payloads)
        self._results = Results(lambda: self.engine)
        self._queues: dict[QueueRef, Queue] = {}
        self._limits: dict[QueueRef, Limits] = {}
        self._middleware: list[Middleware] = []
        self._strategies: dict[str, BackoffStrategy] = {}
        self._hooks: list[SettlementHook] = []

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
        check_integer(max_data_bytes, "max_data_bytes", 1)
        if default_job_options is not None and not isinstance(default_job_options, Mapping):
            raise ValidationError(
                "default_job_options", f"must be a mapping, not {default_job_options!r}"
            )
        self._limits[ref] = limits
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


def _open_payloads(settings: Settings, given: PayloadArgs) -> PayloadStore | None:
    """Return the payload store that arguments name, or else the settings."""
    where = settings.payload_store if given.store is None else given.store
    if where is None:
        return None
    return open_payload_store(
        where,
        threshold=settings.payload_threshold if given.threshold is None else given.threshold,
        max_bytes=settings.payload_max_bytes if given.max_bytes is None else given.max_bytes,
    )
