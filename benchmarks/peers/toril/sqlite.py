"""Toril on its embedded engine: one SQLite file, synchronous=FULL."""

from pathlib import Path

from benchmarks.measurement import Measurement, Params, Scenario
from benchmarks.peers.toril.scenarios import measure


def run(scenario: Scenario, params: Params) -> Measurement:
    """Measure one scenario."""
    return measure(scenario, params, _url)


def _url(directory: str, name: str) -> str:
    return f"sqlite:///{Path(directory).resolve() / name}.db"
