"""Exchanges of one worker that are under way, or whose replies were lost."""

from __future__ import annotations

from toril.model.job import QueueRef


class Unanswered:
    """The exchanges of one worker in one queue that have no answer.

    Each exchange leaves a record of what it did. Its name is shared with no other exchange
    that is under way or not yet made up for. If the reply is lost, the next exchange names the
    record: what was settled is not refused then, and what was taken is handed out again. If
    that reply is lost too, the exchange after it names both.
    """

    __slots__ = ("_lost", "_names", "_worker")

    def __init__(self, worker: str) -> None:
        """Start with none.

        Args:
            worker: The worker's id.
        """
        self._worker = worker
        self._names: set[str] = set()
        self._lost: dict[str, str] = {}

    def begin(self) -> tuple[str, dict[str, str]]:
        """Return the name of a new exchange's record, and the lost exchanges to make up for.

        Returns:
            The name; and the tokens of lost exchanges by the names of their records.
        """
        number = 0
        while (record := f"{self._worker}#{number}") in self._names:
            number += 1
        self._names.add(record)
        lost, self._lost = self._lost, {}
        return record, lost

    def succeed(self, record: str, lost: dict[str, str]) -> None:
        """Forget an exchange that was answered, and those it made up for."""
        self._names -= {record, *lost}

    def fail(self, record: str, token: str, lost: dict[str, str]) -> None:
        """Leave it to a later exchange to make up for one whose reply was lost.

        Args:
            record: The name of its record.
            token: Its token.
            lost: What it was to make up for itself.
        """
        self._lost |= {**lost, record: token}

    def withdraw(self, record: str, lost: dict[str, str]) -> None:
        """Forget an exchange that never ran; a later one makes up for what it was to."""
        self._names.discard(record)
        self._lost |= lost


class AllUnanswered(dict[tuple[QueueRef, str], Unanswered]):
    """The same of every worker, by queue and worker id."""

    def __missing__(self, key: tuple[QueueRef, str]) -> Unanswered:
        made = self[key] = Unanswered(key[1])
        return made
