"""Huey on SQLite: worker threads, every commit synced, no results kept (its fastest setting)."""

from pathlib import Path

from huey import SqliteHuey  # type: ignore[import-untyped]

from benchmarks.measurement import Measurement, Params, Scenario
from benchmarks.peers.huey_threads import measure


def run(scenario: Scenario, params: Params) -> Measurement:
    """Measure one scenario."""
    file = Path(params.scratch) / "huey.db"
    huey = SqliteHuey("bench", filename=str(file), fsync=True, results=False)
    return measure(scenario, params, huey)
