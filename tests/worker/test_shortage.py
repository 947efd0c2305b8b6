"""A host that lacks files, threads or memory uses up no attempts. The limits are real."""

import json
import subprocess
import sys

import pytest

SMALL, LARGE = 10, 5_000


@pytest.mark.timeout(100)
@pytest.mark.parametrize(
    ("lack", "kind", "size", "advice"),
    [
        ("files", "process", SMALL, "too many open files; raise the limit (ulimit -n"),
        ("files", "async", LARGE, "too many open files; raise the limit (ulimit -n"),
        ("files", "thread", LARGE, "too many open files; raise the limit (ulimit -n"),
        ("threads", "thread", SMALL, "too many processes or threads; raise the limit (ulimit -u"),
        ("threads", "process", SMALL, "too many processes or threads; raise the limit (ulimit -u"),
        ("threads", "async", LARGE, "too many processes or threads; raise the limit (ulimit -u"),
        ("memory", "thread", SMALL, "can't start new thread"),
    ],
)
def test_a_job_whose_handler_cannot_be_started_is_released_and_runs_later(lack, kind, size, advice):
    done = subprocess.run(
        [sys.executable, "-m", "tests.worker.short_of", lack, kind, str(size)],
        check=False,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        timeout=90,
    )

    assert done.returncode == 0, done.stderr
    told = json.loads(done.stderr.splitlines()[-1])
    assert advice in told.pop("said")
    assert told == {"attempts used": 0, "state": "waiting", "result": size, "times said": 1}


@pytest.mark.parametrize("lack", ["files", "threads"])
def test_a_manager_that_cannot_start_its_threads_says_so_and_works_later(url, lack):
    done = subprocess.run(
        [sys.executable, "-m", "tests.worker.short_store", lack, url],
        check=False,
        capture_output=True,
        text=True,
        timeout=25,
    )

    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert set(told["while short"].values()) <= {"done", "StoreUnavailableError"}
    assert set(told["later"].values()) == {"done"}
    assert "Exception in thread" not in done.stderr
