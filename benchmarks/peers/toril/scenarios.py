"""Which coroutine measures which scenario."""

import asyncio
from collections.abc import Coroutine
from importlib.util import find_spec
from typing import Any, TypeVar

from benchmarks.measurement import Measurement, Params, Scenario
from benchmarks.peers.toril import enqueue, idle, pickup, process, size
from benchmarks.peers.toril.session import Place

T = TypeVar("T")

_MEASURES = {
    Scenario.ADD_BULK: enqueue.add_bulk,
    Scenario.ADD_EACH: enqueue.add_each,
    Scenario.PROCESS: process.process,
    Scenario.PICKUP: pickup.pickup,
    Scenario.PICKUP_ACROSS: pickup.pickup_across,
    Scenario.IDLE: idle.idle,
    Scenario.SIZE: size.size,
}


def measure(scenario: Scenario, params: Params, place: Place) -> Measurement:
    """Measure one scenario on the engine whose URLs `place` makes."""
    return _run(_MEASURES[scenario](params, place))


def _run(work: Coroutine[Any, Any, T]) -> T:
    """Run on uvloop where it is installed, as Toril's own worker command does."""
    if find_spec("uvloop") is None:
        return asyncio.run(work)
    import uvloop  # noqa: PLC0415  # optional: absent on some platforms

    result: T = uvloop.run(work)
    return result
