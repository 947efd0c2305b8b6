"""Typed events of this process, for metrics, logs and alerts to subscribe to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from toril.model.job import AttemptError, Lease, QueueRef
from toril.model.tracebacks import traceback_of
from toril.printable import logger

_logger = logger("toril.events")


class Event(msgspec.Struct, frozen=True):
    """The base class of all events.

    Attributes:
        queue: The queue in which it happened.
    """

    queue: QueueRef


class JobAdded(Event, frozen=True):
    """This process added a job.

    Attributes:
        job_id: The job's id.
        name: The job's name.
        created: False if a job that already existed was returned instead.
    """

    job_id: str
    name: str
    created: bool


class JobStarted(Event, frozen=True):
    """A handler is about to run.

    Attributes:
        lease: The lease it runs under.
    """

    lease: Lease


class JobCompleted(Event, frozen=True):
    """A job completed, and the store accepted it.

    Attributes:
        lease: The lease it ran under.
        duration: How long the handler ran, in seconds.
    """

    lease: Lease
    duration: float


class JobRetrying(Event, frozen=True):
    """An attempt failed, and the store accepted that another will follow.

    Attributes:
        lease: The lease it ran under.
        duration: How long the handler ran, in seconds.
        error: What went wrong.
        delay: How long the job waits for its next attempt, in seconds.
    """

    lease: Lease
    duration: float
    error: AttemptError
    delay: float


class JobFailed(Event, frozen=True):
    """A job failed for good, and the store accepted it.

    Attributes:
        lease: The lease it ran under.
        duration: How long the handler ran, in seconds.
        error: The error of the last attempt.
    """

    lease: Lease
    duration: float
    error: AttemptError


class JobReleased(Event, frozen=True):
    """A job was released without using an attempt, and the store accepted it.

    Attributes:
        lease: The lease it ran under.
        delay: How long the job waits before it may run again, in seconds.
    """

    lease: Lease
    delay: float


class JobStalled(Event, frozen=True):
    """A job's lease ran out, and the job was rescued.

    Attributes:
        job_id: The job's id.
        poisoned: Whether the job stalled too often. If so, it fails without running again.
    """

    job_id: str
    poisoned: bool


class LeaseLost(Event, frozen=True):
    """This worker lost its lease on a job, so the handler's result will not count.

    Attributes:
        lease: The lease.
    """

    lease: Lease


E = TypeVar("E", bound=Event)


class EventBus:
    """Passes events to the subscribers of their type."""

    def __init__(self) -> None:
        """Create a bus without subscribers."""
        self._subscribers: defaultdict[type[Event], list[Callable[[Any], None]]] = defaultdict(list)

    def subscribe(self, kind: type[E], subscriber: Callable[[E], None]) -> Callable[[], None]:
        """Call a function for each event of a type.

        Args:
            kind: The event type; `Event` subscribes to all of them.
            subscriber: Called synchronously on the event loop, so it must not block.

        Returns:
            A function that ends the subscription.
        """
        self._subscribers[kind].append(subscriber)

        ended = False

        def end() -> None:
            nonlocal ended
            if not ended:
                ended = True
                self._subscribers[kind].remove(subscriber)

        return end

    def wants(self, kind: type[Event]) -> bool:
        """Return whether a type has subscribers, to avoid creating events that nobody receives."""
        return bool(self._subscribers.get(kind) or self._subscribers.get(Event))

    def emit(self, event: Event) -> None:
        """Call the subscribers of an event. Their errors are logged and do not affect jobs."""
        kind = type(event)
        for subscriber in (
            *self._subscribers.get(kind, ()),
            *(self._subscribers.get(Event, ()) if kind is not Event else ()),
        ):
            try:
                subscriber(event)
            except BaseException as error:  # noqa: BLE001 - whatever it raises, jobs go on
                _logger.error(  # noqa: TRY400 - the error may raise when logging looks at it
                    "a subscriber to %s failed\n%s", type(event).__name__, traceback_of(error)
                )
