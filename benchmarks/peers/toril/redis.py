"""Toril on Redis, in BullMQ's layout."""

from benchmarks.measurement import Measurement, Params, Scenario
from benchmarks.peers.toril.scenarios import measure

_DATABASES = ["jobs", "small", "large"]


def run(scenario: Scenario, params: Params) -> Measurement:
    """Measure one scenario; stores of different names are different databases of one server."""

    def url(_: str, name: str) -> str:
        return f"redis://127.0.0.1:{params.redis_port}/{_DATABASES.index(name)}"

    return measure(scenario, params, url)
