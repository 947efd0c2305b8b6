"""A process that forks after it has used a manager: both sides go on, and nothing is lost."""

import json
import subprocess
import sys

import pytest

SCENARIOS = [
    "sync",
    "other_loop",
    "within_a_loop",
    "parent_leaves",
    "beside_a_worker",
    "prepared_worker",
]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_after_a_fork_both_processes_use_the_store(url, scenario):
    done = subprocess.run(
        [sys.executable, "-m", "tests.worker.forking", scenario, url],
        check=False,
        capture_output=True,
        text=True,
        timeout=25,
    )

    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told.pop("ids") == told.pop("expected")
    # Nothing was open yet when the worker was made.
    # On Redis, the end of the parent's loop has closed the connections: nothing is left to say.
    unused = scenario == "prepared_worker" or (scenario, url[:5]) == ("other_loop", "redis")
    warned = 0 if unused else 1
    assert told == {"child": "waiting", "warned": warned, "missing": 0}
