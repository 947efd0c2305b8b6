"""Huey on any of its stores: worker threads inside the trial's process."""

import threading
from time import perf_counter

from huey.api import Huey  # type: ignore[import-untyped]

from benchmarks.measurement import Measurement, Params, Scenario, Stored
from benchmarks.peers.tally import PATIENCE, Tally, payloads


class _Bench:
    """A queue with one task that does nothing but count."""

    def __init__(self, huey: Huey, params: Params) -> None:
        self.huey = huey
        self.jobs = payloads(params.jobs)
        self.all_ran = threading.Event()
        self.tally = Tally(self.jobs, self.all_ran.set)
        self._noop = huey.task()(self.tally.count)

    def enqueue_all(self) -> float:
        """Enqueue every job; gives the seconds that it took."""
        start = perf_counter()
        for payload in self.jobs:
            self._noop(payload)
        return perf_counter() - start


def measure(scenario: Scenario, params: Params, huey: Huey) -> Measurement:
    """Measure one scenario."""
    match scenario:
        case Scenario.ADD_BULK:
            return _enqueue(_Bench(huey, params), params)
        case Scenario.PROCESS:
            return _process(_Bench(huey, params), params)
        case _:
            raise NotImplementedError(scenario)


def _enqueue(bench: _Bench, params: Params) -> Measurement:
    elapsed = bench.enqueue_all()
    stored = Stored(params.jobs, bench.huey.storage.queue_size())
    return Measurement({"rate": params.jobs / elapsed}, stored=stored)


def _process(bench: _Bench, params: Params) -> Measurement:
    bench.enqueue_all()
    consumer = bench.huey.create_consumer(workers=params.concurrency, periodic=False)
    start = perf_counter()
    consumer.start()
    bench.all_ran.wait(PATIENCE)
    consumer.stop(graceful=True)
    return bench.tally.measurement(start, bench.huey.storage.queue_size())
