"""Producer ids: adding a batch only once even if its reply is lost.

As with Kafka's idempotent producer, each batch carries a producer id and a sequence number, and
the script remembers each producer's last number. Repeating a number is safe only while no later
number of the same producer is in flight. So each call in flight has a producer id of its own.
"""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

from toril.engine.contract.hot_path import Batch
from toril.model.job import QueueRef


class ProducerIds:
    """The producer ids of one engine: as many as it has adds in flight at once."""

    def __init__(self) -> None:
        """Start without ids; each is made when needed."""
        self._salt = secrets.token_hex(6)
        self._made = 0
        self._last: dict[str, int] = {}
        self._free: defaultdict[QueueRef, list[str]] = defaultdict(list)

    @contextmanager
    def batch(self, queue: QueueRef) -> Iterator[Batch]:
        """Identify a call's batch; its producer id becomes free when the call ends.

        Args:
            queue: The queue to add to.
        """
        free = self._free[queue]
        if free:
            producer = free.pop()
        else:
            self._made += 1
            producer = f"{self._salt}-{self._made}"
        self._last[producer] = self._last.get(producer, 0) + 1
        try:
            yield Batch(producer, self._last[producer])
        finally:
            free.append(producer)
