"""The scenarios at a small scale; `make chaos` plays all of them at full scale."""

from __future__ import annotations

import pytest

from tests.faults.scenario import QUICK
from tests.faults.scenarios import SCENARIOS

SEED = 1
LONG = {  # they wait for leases, for a clock, or for a server that does not answer
    "full-disk-forced",
    "held-lock",
    "clock-jump",
    "paused-redis",
    "refusing-redis",
}
PLAYED_ON_A_FILE = {  # where their faults strike the process, and the store's part is small
    "killed-producer-redis",
    "terminated-worker-redis",
    "terminated-in-work-redis",
    "forced-worker-redis",
    "blocked-loop-redis",
    "blocked-while-fetching-redis",
    "poisonous-job-redis",
    "poison-among-innocents-redis",
}


@pytest.mark.parametrize("name", sorted(SCENARIOS.keys() - LONG - PLAYED_ON_A_FILE))
async def test_jobs_survive(name: str):
    row = await SCENARIOS[name](SEED, QUICK)
    assert row.green, row.problems
