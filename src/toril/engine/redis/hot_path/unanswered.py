"""Exchanges in flight, and exchanges whose replies were lost."""

from __future__ import annotations

from toril.model.job import QueueRef


class Unanswered:
    """The unanswered exchanges of one worker in one queue.

    Each exchange leaves a record of what it did, under a name that no other exchange in flight
    and no lost exchange uses. If a reply is lost, the next exchange names the record: settled
    jobs are then not refused, and fetched jobs are handed out again. If that reply is lost too,
    the exchange after it names both records.
    """

    __slots__ = ("_lost", "_names", "_worker")

    def __init__(self, worker: str) -> None:
        """Prepare.

        Args:
            worker: The worker's id.
        """
        self._worker = worker
        self._names: set[str] = set()
        self._lost: dict[str, str] = {}

    def begin(self) -> tuple[str, dict[str, str]]:
        """Start an exchange, which takes over all lost exchanges.

        Returns:
            The name of its record, and the lost exchanges that it recovers: record names mapped
            to tokens.
        """
        number = 0
        while (record := f"{self._worker}#{number}") in self._names:
            number += 1
        self._names.add(record)
        lost, self._lost = self._lost, {}
        return record, lost

    def succeed(self, record: str, lost: dict[str, str]) -> None:
        """Forget an answered exchange and the lost exchanges that it recovered."""
        self._names -= {record, *lost}

    def fail(self, record: str, token: str, lost: dict[str, str]) -> None:
        """Leave an exchange whose reply was lost to a later exchange.

        Args:
            record: The name of its record.
            token: Its token.
            lost: The lost exchanges that it should have recovered.
        """
        self._lost |= {**lost, record: token}

    def withdraw(self, record: str, lost: dict[str, str]) -> None:
        """Forget an exchange that never ran or fetched nothing; leave lost ones to a later one.

        Args:
            record: The name of its record.
            lost: The lost exchanges that it should have recovered.
        """
        self._names.discard(record)
        self._lost |= lost


class UnansweredByWorker(dict[tuple[QueueRef, str], Unanswered]):
    """The unanswered exchanges of all workers, by queue and worker id."""

    def __missing__(self, key: tuple[QueueRef, str]) -> Unanswered:
        made = self[key] = Unanswered(key[1])
        return made
