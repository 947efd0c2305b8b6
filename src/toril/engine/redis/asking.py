"""Exchanges of one worker that are on their way, or whose answers were lost."""

from __future__ import annotations

from toril.model.job import QueueRef


class Asker:
    """One worker and one queue.

    Each exchange leaves a record of what it did under a name that no other exchange on its
    way has. If its answer is lost, the next exchange names the record: what was settled is not
    refused then, and what was taken is given again.

    Attributes:
        unanswered: By record, the tokens of exchanges whose answers were lost.
    """

    __slots__ = ("_busy", "_worker", "unanswered")

    def __init__(self, worker: str) -> None:
        """Begin with none.

        Args:
            worker: The worker's id.
        """
        self._worker = worker
        self._busy: set[str] = set()
        self.unanswered: dict[str, str] = {}

    def begin(self) -> str:
        """Return the name of a new exchange's record; `end` frees it."""
        number = 0
        while (record := f"{self._worker}#{number}") in self._busy:
            number += 1
        self._busy.add(record)
        return record

    def end(self, record: str) -> None:
        """Let another exchange have a record."""
        self._busy.discard(record)

    def lose(self, record: str, token: str) -> None:
        """Note that an exchange's answer was lost."""
        self.unanswered[record] = token

    def make_up_for(self, lost: dict[str, str]) -> None:
        """Forget lost exchanges that another one has made up for.

        Args:
            lost: `unanswered`, as the other one was told.
        """
        for record, token in lost.items():
            if self.unanswered.get(record) == token:
                del self.unanswered[record]


class Askers(dict[tuple[QueueRef, str], Asker]):
    """Every worker that asked, by queue and id."""

    def __missing__(self, key: tuple[QueueRef, str]) -> Asker:
        made = self[key] = Asker(key[1])
        return made
