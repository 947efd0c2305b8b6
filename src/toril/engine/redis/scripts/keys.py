"""The keys of a queue: those of BullMQ's layout, and Toril's own.

BullMQ takes an unknown key under a queue's prefix for an orphaned job. Toril's own keys are
therefore kept apart, under `<prefix>::toril:<queue>:`.
"""

from __future__ import annotations

import re
from base64 import b64encode
from functools import lru_cache

from toril.model.job import QueueRef

QUEUES = "toril:queues"
"""The set of all queues that Toril knows: each one's prefix and name, as a JSON array."""

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


_NOT_IN_A_NAME = re.compile(r"[^!-~]")


class QueueKeys:
    """The keys of one queue.

    Attributes:
        all: The KEYS of each script, in the order in which lua/include/queue.lua unpacks them.
        in_cluster: The KEYS in a cluster: `all`, and a key that never exists. While a hash slot
            moves from node to node, key by key, neither node runs a script unless it has all of
            the script's keys. So no script runs while some jobs of its queue may be elsewhere.
        meta: The queue's settings.
        events: The stream of event records.
        marker: The key that idle workers wait for.
        cancels: The running jobs whose cancellation was requested.
        limits: The limits that BullMQ does not support.
        base: The prefix of BullMQ's keys and of jobs' keys.
        own: The prefix of Toril's own keys.
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
        """Return the key of the set of jobs with a tag, in the order in which they were added."""
        return f"{self.own}tag:{tag}"


@lru_cache(maxsize=4096)
def keys_of(queue: QueueRef) -> QueueKeys:
    """Return a queue's keys."""
    return QueueKeys(queue)


def client_name(queue: QueueRef, worker: str = "") -> str:
    """Return the connection name by which Node.js finds a queue's workers.

    Source: BullMQ 6, `Queue.getWorkers` looks for `<prefix>:<base64 of the queue>`, followed by
    `:w:<name>`.
    """
    encoded = b64encode(queue.name.encode()).decode()
    name = f"{queue.prefix}:{encoded}" + (f":w:{worker}" if worker else "")
    # Redis refuses other characters in a connection's name, so Node.js does not find such workers.
    return _NOT_IN_A_NAME.sub("-", name)
