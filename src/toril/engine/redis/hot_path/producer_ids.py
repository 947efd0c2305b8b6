"""Adding a batch once, though its reply may be lost.

As in Kafka's idempotent producer: each batch carries its producer's id and a number that
grows by one, and the script remembers the last number of each producer. A number is only
safe to repeat while no later one of the same producer is under way. So each call that is
under way has a lane of its own: a producer of which no other call knows.
"""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

from toril.engine.base import Batch
from toril.model.job import QueueRef


class Lanes:
    """The lanes of one engine; it makes as many as calls are under way at once."""

    def __init__(self) -> None:
        """Begin with none."""
        self._salt = secrets.token_hex(6)
        self._made = 0
        self._last: dict[str, int] = {}
        self._free: defaultdict[QueueRef, list[str]] = defaultdict(list)

    @contextmanager
    def batch(self, queue: QueueRef) -> Iterator[Batch]:
        """Give a call a number of its own, on a lane that is its until it ends.

        Args:
            queue: The queue that it adds to.
        """
        free = self._free[queue]
        if free:
            lane = free.pop()
        else:
            self._made += 1
            lane = f"{self._salt}-{self._made}"
        self._last[lane] = self._last.get(lane, 0) + 1
        try:
            yield Batch(lane, self._last[lane])
        finally:
            free.append(lane)
