"""Which coroutine measures which scenario."""

from benchmarks.measurement import Measurement, Params, Scenario
from benchmarks.peers.event_loop import run
from benchmarks.peers.toril import crowd, enqueue, idle, pair, pickup, process, size, store_time
from benchmarks.peers.toril.session import Place

_MEASURES = {
    Scenario.ADD_BULK: enqueue.add_bulk,
    Scenario.ADD_EACH: enqueue.add_each,
    Scenario.PROCESS: process.process,
    Scenario.PICKUP: pickup.pickup,
    Scenario.PICKUP_ACROSS: pickup.pickup_across,
    Scenario.IDLE: idle.idle,
    Scenario.PAIR: pair.pair,
    Scenario.STORE_TIME: store_time.store_time,
    Scenario.CROWD: crowd.crowd,
    Scenario.SIZE: size.size,
}


def measure(scenario: Scenario, params: Params, place: Place) -> Measurement:
    """Measure one scenario on the engine whose URLs `place` makes."""
    return run(_MEASURES[scenario](params, place))
