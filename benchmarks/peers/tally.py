"""What the Python peers have in common: payloads that tell the jobs apart, and a count of runs."""

from collections.abc import Callable, Sequence
from math import inf
from time import perf_counter

from benchmarks.measurement import Measurement, Runs, Stored

PATIENCE = 300.0
"""Seconds that a worker is given for all jobs."""


def payloads(count: int) -> list[str]:
    """Ten bytes for each job, no two alike."""
    return [f"{number:010d}" for number in range(count)]


class Tally:
    """Counts the runs; the clock stops in the handler of the last job.

    So a peer is charged neither for finishing that job nor for the worker's shutdown.
    """

    def __init__(self, expected: Sequence[str], all_ran: Callable[[], object]) -> None:
        self._expected = expected
        self._all_ran = all_ran
        self._ran: list[str] = []
        self._last = inf

    def count(self, payload: str) -> None:
        """Note one run, from any thread."""
        self._ran.append(payload)
        if len(self._ran) >= len(self._expected):
            self._last = perf_counter()
            self._all_ran()

    def measurement(self, start: float, left: int) -> Measurement:
        """Jobs a second since `start`; `left` is what the store still holds."""
        rate = len(self._expected) / (self._last - start)
        runs = Runs.tally(self._expected, self._ran)
        return Measurement({"rate": rate}, runs, Stored(0, left))
