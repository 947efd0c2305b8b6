"""What the workers of this process run, so that no rescue in this process takes it from them."""

from __future__ import annotations

import os
from typing import Protocol
from weakref import WeakSet

from toril.model.job import QueueRef


class Holder(Protocol):
    """Holds leases of running jobs.

    Attributes:
        location: The store of these jobs.
    """

    location: str

    def held_in(self, queue: QueueRef) -> list[str]:
        """Return the ids of a queue's jobs that it holds. Called from any thread."""
        ...


_holders: WeakSet[Holder] = WeakSet()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_holders.clear)  # their jobs run in the parent


def announce(holder: Holder) -> None:
    """Spare what a holder holds from now on."""
    _holders.add(holder)


def withdraw(holder: Holder) -> None:
    """Stop sparing what a holder holds."""
    _holders.discard(holder)


def held_here(location: str, queue: QueueRef) -> list[str]:
    """Return the ids of a queue's jobs that this process runs.

    Args:
        location: The store of the queue.
        queue: The queue.
    """
    mine = [holder for holder in list(_holders) if holder.location == location]
    return [job_id for holder in mine for job_id in holder.held_in(queue)]
