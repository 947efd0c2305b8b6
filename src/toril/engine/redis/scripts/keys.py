"""Every key of a queue, and who owns it: BullMQ's layout, or Toril alone.

BullMQ takes an unknown key under a queue's prefix for a job without a queue. So what is
not BullMQ's stands apart, under `<prefix>::toril:<queue>:`.
"""

from __future__ import annotations

from base64 import b64encode
from functools import lru_cache

from toril.model.job import QueueRef

QUEUES = "toril:queues"
"""The set of all queues that Toril was told of: prefix and name, as a JSON array."""

_BULLMQ = (
    "meta",
    "id",
    "wait",
    "active",
    "prioritized",
    "pc",
    "delayed",
    "waiting-children",
    "completed",
    "failed",
    "events",
    "marker",
    "stalled",
    "limiter",
)
_OWN = ("producers", "cancels")


class QueueKeys:
    """The keys of one queue.

    Attributes:
        all: What each script is given, in the order that lua/include/queue.lua names.
        in_cluster: The same in a cluster, with one key more that is never there. While a slot
            moves from node to node, key by key, neither of them runs a script whose keys it
            does not have all: so none runs where a job of the queue may be elsewhere already.
        events: The stream of what happened.
        marker: What idle workers wait for.
        cancels: The running jobs that somebody asked to cancel.
        limits: The limits that BullMQ does not know.
        base: What stands before the names of BullMQ's keys, and before a job's id.
        own: What stands before the names of Toril's own keys.
    """

    __slots__ = (
        "all",
        "base",
        "cancels",
        "events",
        "in_cluster",
        "limits",
        "marker",
        "meta",
        "own",
    )

    def __init__(self, queue: QueueRef) -> None:
        """Make the keys of a queue."""
        self.base = f"{queue.prefix}:{queue.name}:"
        self.own = f"{queue.prefix}::toril:{queue.name}:"
        self.all = (*(self.base + key for key in _BULLMQ), *(self.own + key for key in _OWN))
        self.in_cluster = (*self.all, f"{self.own}never")
        self.meta = f"{self.base}meta"
        self.events = f"{self.base}events"
        self.marker = f"{self.base}marker"
        self.cancels = f"{self.own}cancels"
        self.limits = f"{self.own}limits"

    def logs(self, job_id: str) -> str:
        """Return the key of a job's log."""
        return f"{self.base}{job_id}:logs"

    def tag(self, tag: str) -> str:
        """Return the key of the jobs with a tag, by when they were added."""
        return f"{self.own}tag:{tag}"


@lru_cache(maxsize=4096)
def keys_of(queue: QueueRef) -> QueueKeys:
    """Return a queue's keys."""
    return QueueKeys(queue)


def client_name(queue: QueueRef, worker: str = "") -> str:
    """Return the connection's name by which Node.js finds a queue's workers.

    Source: BullMQ 6, `Queue.getWorkers` looks for `<prefix>:<base64 of the queue>` with
    `:w:<name>` behind it.
    """
    encoded = b64encode(queue.name.encode()).decode()
    return f"{queue.prefix}:{encoded}" + (f":w:{worker}" if worker else "")
