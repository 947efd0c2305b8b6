"""Exchanges of one worker that are on their way, or whose answers were lost."""

from __future__ import annotations

from toril.model.job import QueueRef


class Asker:
    """One worker and one queue.

    Each exchange leaves a record of what it did under a name that no other exchange on its
    way has, nor one that is not made up for. If its answer is lost, the next exchange names
    the record: what was settled is not refused then, and what was taken is given again. If that
    one is lost as well, the next one after it names both.
    """

    __slots__ = ("_names", "_unanswered", "_worker")

    def __init__(self, worker: str) -> None:
        """Begin with none.

        Args:
            worker: The worker's id.
        """
        self._worker = worker
        self._names: set[str] = set()
        self._unanswered: dict[str, str] = {}

    def begin(self) -> tuple[str, dict[str, str]]:
        """Return the name of a new exchange's record, and what the exchange is to make up for.

        Returns:
            The name; and by record the tokens of exchanges whose answers were lost.
        """
        number = 0
        while (record := f"{self._worker}#{number}") in self._names:
            number += 1
        self._names.add(record)
        lost, self._unanswered = self._unanswered, {}
        return record, lost

    def succeed(self, record: str, lost: dict[str, str]) -> None:
        """Forget an exchange that was answered, and those that it made up for."""
        self._names -= {record, *lost}

    def fail(self, record: str, token: str, lost: dict[str, str]) -> None:
        """Leave it to another exchange to make up for one that got no answer.

        Args:
            record: The name of its record.
            token: Its token.
            lost: What it was to make up for itself.
        """
        self._unanswered |= {**lost, record: token}

    def withdraw(self, record: str, lost: dict[str, str]) -> None:
        """Forget an exchange that was not carried out; others make up for what it was to."""
        self._names.discard(record)
        self._unanswered |= lost


class Askers(dict[tuple[QueueRef, str], Asker]):
    """Every worker that asked, by queue and id."""

    def __missing__(self, key: tuple[QueueRef, str]) -> Asker:
        made = self[key] = Asker(key[1])
        return made
