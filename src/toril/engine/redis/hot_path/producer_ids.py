"""Producer ids: adding a batch once although its reply may be lost.

As with Kafka's idempotent producer, each batch carries a producer id and a sequence number, and
the script remembers each producer's last number. Repeating a number is safe only while no later
one of the same producer is under way. So each call that is under way has a producer id that no
other call uses.
"""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

from toril.engine.contract.hot_path import Batch
from toril.model.job import QueueRef


class ProducerIds:
    """The producer ids of one engine: as many as calls are under way at once."""

    def __init__(self) -> None:
        """Start with none."""
        self._salt = secrets.token_hex(6)
        self._made = 0
        self._last: dict[str, int] = {}
        self._free: defaultdict[QueueRef, list[str]] = defaultdict(list)

    @contextmanager
    def batch(self, queue: QueueRef) -> Iterator[Batch]:
        """Identify a call's batch; its producer id is free again when the call ends.

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
