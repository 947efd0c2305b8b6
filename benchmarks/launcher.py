"""Runs one trial in a process of its own, bounded in time."""

import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from tempfile import TemporaryDirectory

import msgspec
from msgspec.structs import replace

from benchmarks.measurement import Measurement, Params, WrongCountError
from benchmarks.trials import Trial

TIMEOUT = 600.0
LAST_LINES = 3


@dataclass(frozen=True, slots=True)
class Failure:
    """A trial that gave no measurement, and why."""

    reason: str


def launch(trial: Trial, common: Params, scratch_root: str) -> Measurement | Failure:
    """Measure; whatever goes wrong becomes a failure that the report names."""
    with TemporaryDirectory(prefix="toril-bench-", dir=scratch_root) as scratch:
        params = replace(trial.params(common), scratch=scratch)
        try:
            measurement = _run(trial, params)
            measurement.verify()
        except (TrialError, WrongCountError, msgspec.MsgspecError) as error:
            return Failure(str(error))
        return measurement


class TrialError(Exception):
    """The trial's process failed."""


def _run(trial: Trial, params: Params) -> Measurement:
    """Give the child a session of its own, so that nothing it starts outlives it."""
    command = [sys.executable, "-m", "benchmarks.child", trial.peer, trial.scenario]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as child:
        output, errors = _communicate(child, msgspec.json.encode(params))
    if child.returncode:
        raise TrialError(_tail(errors) or f"exit code {child.returncode}")
    return msgspec.json.decode(output.splitlines()[-1], type=Measurement)


def _communicate(child: subprocess.Popen[bytes], params: bytes) -> tuple[bytes, bytes]:
    try:
        return child.communicate(params, TIMEOUT)
    except subprocess.TimeoutExpired:
        raise TrialError(f"not done after {TIMEOUT:.0f} s") from None
    finally:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)


def _tail(errors: bytes) -> str:
    return " / ".join(errors.decode(errors="replace").strip().splitlines()[-LAST_LINES:])
