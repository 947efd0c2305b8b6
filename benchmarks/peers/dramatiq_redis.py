"""Dramatiq on Redis: its worker and threads inside the trial's process."""

import threading
from time import perf_counter

from dramatiq import Worker, actor
from dramatiq.brokers.redis import RedisBroker
from dramatiq.middleware import Retries

from benchmarks.measurement import Measurement, Params, Scenario, Stored
from benchmarks.peers.redis_store import QUEUE, url
from benchmarks.peers.tally import PATIENCE, Tally, payloads

PREFETCH = 300

# Dramatiq's best settings: no results; of the default middleware only the retries, which every peer
# has; and a deep prefetch (as by `dramatiq_queue_prefetch`), because at the default of two jobs a
# thread the consumer sleeps whenever it is full, and eight threads do a quarter of the work.
# There is no bulk call: a group, too, enqueues one by one; more producing threads gained nothing.


class _Bench:
    """A queue with one actor that does nothing but count."""

    def __init__(self, params: Params) -> None:
        self.broker = RedisBroker(url=url(params.redis_port), middleware=[Retries()])
        self.jobs = payloads(params.jobs)
        self.all_ran = threading.Event()
        self.tally = Tally(self.jobs, self.all_ran.set)
        self._noop = actor(
            self.tally.count, broker=self.broker, queue_name=QUEUE, actor_name="noop"
        )

    def enqueue_all(self) -> float:
        """Enqueue every job; gives the seconds that it took."""
        start = perf_counter()
        for payload in self.jobs:
            self._noop.send(payload)
        return perf_counter() - start

    def left(self) -> int:
        """How many jobs are not acknowledged."""
        return int(self.broker.do_qsize(QUEUE))


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
    stored = Stored(params.jobs, bench.left())
    return Measurement({"rate": params.jobs / elapsed}, stored=stored)


def _process(bench: _Bench, params: Params) -> Measurement:
    bench.enqueue_all()
    worker = Worker(bench.broker, worker_threads=params.concurrency)
    worker.queue_prefetch = PREFETCH
    start = perf_counter()
    worker.start()
    bench.all_ran.wait(PATIENCE)
    worker.stop()
    return bench.tally.measurement(start, bench.left())
