"""The scenarios at a small scale; `make chaos` plays all of them at full scale."""

from __future__ import annotations

import pytest

from tests.faults.scenario import QUICK
from tests.faults.scenarios import SCENARIOS

SEED = 1
LONG = {"full-disk-forced", "held-lock", "clock-jump"}  # they wait for leases, or for a clock


@pytest.mark.parametrize("name", sorted(SCENARIOS.keys() - LONG))
async def test_jobs_survive(name: str):
    row = await SCENARIOS[name](SEED, QUICK)
    assert row.green, row.problems
