"""BullMQ on Node: each scenario is a script in benchmarks/node that prints one line of JSON."""

import subprocess

import msgspec

from benchmarks.latency import percentiles_ms
from benchmarks.measurement import Measurement, Params, Runs, Scenario, Stored
from benchmarks.needs import NODE_FOLDER

CHUNKS = (1_000, 5_000)
"""Sizes of an addBulk call that are tried; the best counts."""
FILL_CHUNK = 1_000


class _Line(msgspec.Struct):
    """What a script prints."""

    values: dict[str, float]
    samples: list[float] = []
    runs: Runs | None = None
    stored: Stored | None = None


def run(scenario: Scenario, params: Params) -> Measurement:
    """Measure one scenario."""
    match scenario:
        case Scenario.ADD_BULK:
            return max((_add(params, chunk) for chunk in CHUNKS), key=_rate)
        case Scenario.PROCESS:
            return _measurement(_script("process", params, FILL_CHUNK))
        case Scenario.PICKUP:
            line = _script("pickup", params, FILL_CHUNK)
            return Measurement(percentiles_ms(line.samples), line.runs)
        case _:
            raise NotImplementedError(scenario)


def _add(params: Params, chunk: int) -> Measurement:
    return _measurement(_script("add-bulk", params, min(chunk, params.jobs)))


def _rate(measurement: Measurement) -> float:
    measurement.verify()
    return measurement.values["rate"]


def _measurement(line: _Line) -> Measurement:
    return Measurement(line.values, line.runs, line.stored)


def _script(name: str, params: Params, chunk: int) -> _Line:
    arguments = {
        "port": params.redis_port,
        "queue": f"{name}-{chunk}",
        "count": params.jobs,
        "concurrency": params.concurrency,
        "chunk": chunk,
        "samples": params.samples,
    }
    options = [f"--{option}={value}" for option, value in arguments.items()]
    command = ["node", f"{name}.js", *options]
    done = subprocess.run(command, cwd=NODE_FOLDER, check=True, stdout=subprocess.PIPE)
    return msgspec.json.decode(done.stdout, type=_Line)
