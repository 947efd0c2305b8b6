"""Huey on SQLite: worker threads, every commit synced, no results kept (its fastest setting)."""

import threading
import time
from pathlib import Path

from huey import SqliteHuey  # type: ignore[import-untyped]

from benchmarks.measurement import Measurement, Params, Runs, Scenario, Stored

PATIENCE = 300.0


class _Bench:
    """A queue with one task that does nothing but count."""

    def __init__(self, params: Params) -> None:
        file = Path(params.scratch) / "huey.db"
        self.huey = SqliteHuey("bench", filename=str(file), fsync=True, results=False)
        self.ran: list[str] = []
        self.all_ran = threading.Event()
        self._expected = params.jobs
        self._noop = self.huey.task()(self._count)
        self.payloads = [f"{number:010d}" for number in range(params.jobs)]

    def _count(self, payload: str) -> None:
        self.ran.append(payload)
        if len(self.ran) >= self._expected:
            self.all_ran.set()

    def enqueue_all(self) -> float:
        """Enqueue every job; gives the seconds that it took."""
        start = time.perf_counter()
        for payload in self.payloads:
            self._noop(payload)
        return time.perf_counter() - start


def run(scenario: Scenario, params: Params) -> Measurement:
    """Measure one scenario."""
    match scenario:
        case Scenario.ADD_BULK:
            return _enqueue(_Bench(params), params)
        case Scenario.PROCESS:
            return _process(_Bench(params), params)
        case _:
            raise NotImplementedError(scenario)


def _enqueue(bench: _Bench, params: Params) -> Measurement:
    elapsed = bench.enqueue_all()
    stored = Stored(params.jobs, bench.huey.storage.queue_size())
    return Measurement({"rate": params.jobs / elapsed}, stored=stored)


def _process(bench: _Bench, params: Params) -> Measurement:
    bench.enqueue_all()
    consumer = bench.huey.create_consumer(workers=params.concurrency, periodic=False)
    start = time.perf_counter()
    consumer.start()
    bench.all_ran.wait(PATIENCE)
    elapsed = time.perf_counter() - start
    consumer.stop(graceful=True)
    runs = Runs.tally(bench.payloads, bench.ran)
    return Measurement({"rate": params.jobs / elapsed}, runs)
