"""Celery on Redis: its worker is a process of its own, and the pool's processes are that one's."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, perf_counter, sleep

from redis import Redis

from benchmarks.measurement import Measurement, Params, Runs, Scenario, Stored
from benchmarks.peers.celery_app import make
from benchmarks.peers.celery_worker import LINE_BYTES
from benchmarks.peers.redis_store import QUEUE, url
from benchmarks.peers.tally import PATIENCE, payloads

STOP_TIMEOUT = 20.0
LOOK_EVERY = 0.05
UNACKNOWLEDGED = "unacked"


def run(scenario: Scenario, params: Params) -> Measurement:
    """Measure one scenario."""
    with Redis.from_url(url(params.redis_port)) as redis:
        match scenario:
            case Scenario.ADD_BULK:
                return _add(params, redis)
            case Scenario.PROCESS:
                return _process(params, redis)
            case _:
                raise NotImplementedError(scenario)


def _add(params: Params, redis: Redis) -> Measurement:
    elapsed = _enqueue_all(params, redis)
    stored = Stored(params.jobs, redis.llen(QUEUE))
    return Measurement({"rate": params.jobs / elapsed}, stored=stored)


def _enqueue_all(params: Params, redis: Redis) -> float:
    """Send all jobs by one producer, which is faster than `delay`; Celery has no bulk call."""
    app, noop = make(params.redis_port or 0, _noop)
    with app.producer_or_acquire() as producer:
        noop.apply_async(("warm up: the first call sets Celery up",), producer=producer)
        redis.delete(QUEUE)
        start = perf_counter()
        for payload in payloads(params.jobs):
            noop.apply_async((payload,), producer=producer)
        return perf_counter() - start


def _noop(payload: str) -> None:
    """Do nothing: only the worker's process runs jobs."""


def _process(params: Params, redis: Redis) -> Measurement:
    _enqueue_all(params, redis)
    file = Path(params.scratch) / "runs"
    with _worker(params, file) as worker:
        _wait_for_lines(worker, file, params.jobs)
    lines = [line.split() for line in file.read_text(encoding="ascii").splitlines()]
    # From the first job to the last: the start of the processes, a second or so, is left out.
    times = [float(time) for _, time in lines]
    runs = Runs.tally(payloads(params.jobs), [payload for payload, _ in lines])
    left = Stored(0, redis.llen(QUEUE) + redis.hlen(UNACKNOWLEDGED))
    return Measurement({"rate": params.jobs / (max(times) - min(times))}, runs, left)


@contextmanager
def _worker(params: Params, file: Path) -> Iterator[subprocess.Popen[bytes]]:
    arguments = [str(params.redis_port), str(params.concurrency), str(file)]
    command = [sys.executable, "-m", "benchmarks.peers.celery_worker", *arguments]
    worker = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        yield worker
    finally:
        worker.terminate()
        try:
            worker.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            worker.kill()
            worker.wait()


def _wait_for_lines(worker: subprocess.Popen[bytes], file: Path, count: int) -> None:
    deadline = monotonic() + PATIENCE
    while not file.is_file() or file.stat().st_size < count * LINE_BYTES:
        if worker.poll() is not None:
            raise RuntimeError(f"the worker ended with code {worker.returncode}")
        if monotonic() > deadline:
            raise TimeoutError(f"not all jobs ran in {PATIENCE:.0f} s")
        sleep(LOOK_EVERY)
