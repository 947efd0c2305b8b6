"""What happens in this process, as typed events that metrics, logs and alerts subscribe to."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from toril.model.job import AttemptError, Lease, QueueRef

_logger = logging.getLogger("toril.events")


class Event(msgspec.Struct, frozen=True):
    """The root of all events.

    Attributes:
        queue: The queue it happened in.
    """

    queue: QueueRef


class JobAdded(Event, frozen=True):
    """A job was added by this process.

    Attributes:
        job_id: The job.
        name: What kind of work it is.
        created: False if it stands for a job that was there already.
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
    """A job is done, and the store knows.

    Attributes:
        lease: The lease it ran under.
        duration: How long the handler ran, in seconds.
    """

    lease: Lease
    duration: float


class JobRetrying(Event, frozen=True):
    """An attempt failed, and the store knows that there will be another.

    Attributes:
        lease: The lease it ran under.
        duration: How long the handler ran, in seconds.
        error: What went wrong.
        delay: How long the job waits, in seconds.
    """

    lease: Lease
    duration: float
    error: AttemptError
    delay: float


class JobFailed(Event, frozen=True):
    """A job failed for good, and the store knows.

    Attributes:
        lease: The lease it ran under.
        duration: How long the handler ran, in seconds.
        error: The error that ended it.
    """

    lease: Lease
    duration: float
    error: AttemptError


class JobReleased(Event, frozen=True):
    """A job was given back without using up an attempt, and the store knows.

    Attributes:
        lease: The lease it ran under.
        delay: How long the job waits, in seconds.
    """

    lease: Lease
    delay: float


class JobStalled(Event, frozen=True):
    """A job was taken from a worker whose lease ran out.

    Attributes:
        job_id: The job.
        poisoned: It did so too often and will fail without running.
    """

    job_id: str
    poisoned: bool


class LeaseLost(Event, frozen=True):
    """This worker's lease of a job ran out; what its handler returns does not count.

    Attributes:
        lease: The lease.
    """

    lease: Lease


E = TypeVar("E", bound=Event)


class EventBus:
    """Hands events to who subscribed to their type."""

    def __init__(self) -> None:
        """Begin with no subscribers."""
        self._subscribers: defaultdict[type[Event], list[Callable[[Any], None]]] = defaultdict(list)

    def subscribe(self, kind: type[E], subscriber: Callable[[E], None]) -> Callable[[], None]:
        """Call a function with each event of a type.

        Args:
            kind: The type; `Event` is all of them.
            subscriber: Called at once, on the event loop: it must not block.

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
        """Whether anybody subscribed: an event that nobody sees need not be made."""
        return bool(self._subscribers.get(kind) or self._subscribers.get(Event))

    def emit(self, event: Event) -> None:
        """Hand an event to its subscribers. An error in one is logged and stops no job."""
        kind = type(event)
        for subscriber in (
            *self._subscribers.get(kind, ()),
            *(self._subscribers.get(Event, ()) if kind is not Event else ()),
        ):
            try:
                subscriber(event)
            except Exception:
                _logger.exception("a subscriber to %s failed", type(event).__name__)
