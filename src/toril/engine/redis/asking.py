"""Exchanges of one worker that are on their way, or whose answers were lost."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from toril.engine.redis.wire import WireLostError


class Asker:
    """One worker and one queue.

    Each exchange leaves a record of what it did under a name that no other exchange on its
    way has. If its answer is lost, the next exchange names the record: what was settled is not
    refused then, and what was taken is given again.
    """

    def __init__(self, worker: str) -> None:
        """Begin with none.

        Args:
            worker: The worker's id.
        """
        self._worker = worker
        self._busy: set[int] = set()
        self._unanswered: dict[str, str] = {}

    @contextmanager
    def exchange(self, token: str) -> Iterator[tuple[str, dict[str, str]]]:
        """Name an exchange's record, and those without an answer.

        Args:
            token: The exchange's token.

        Yields:
            The record's name; by record, the tokens of exchanges whose answers were lost.
        """
        number = next(n for n in range(len(self._busy) + 1) if n not in self._busy)
        record = f"{self._worker}#{number}"
        before = dict(self._unanswered)
        self._busy.add(number)
        try:
            yield record, before
        except WireLostError:
            self._unanswered[record] = token
            raise
        finally:
            self._busy.discard(number)
        for name, lost in before.items():
            if self._unanswered.get(name) == lost:
                del self._unanswered[name]
