"""Interleaved rounds: every trial once a round, in alternating order."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from tempfile import TemporaryDirectory

from msgspec.structs import replace

from benchmarks.distance import distance
from benchmarks.launcher import Failure, launch
from benchmarks.measurement import Measurement, Params
from benchmarks.peers import PEERS
from benchmarks.redis_server import flush, redis_server
from benchmarks.trials import Trial


@dataclass(slots=True)
class Outcome:
    """What a run found."""

    rounds: list[dict[str, Measurement]] = field(default_factory=list)
    """For each round the measurements by trial."""
    not_run: dict[str, str] = field(default_factory=dict)
    """Peers that this machine cannot run, and why."""
    failed: dict[str, str] = field(default_factory=dict)
    """Trials that failed, and why; a failed trial is not tried again."""


Progress = Callable[[int, Trial, Measurement | Failure], None]


def run_rounds(
    trials: Sequence[Trial], rounds: int, common: Params, scratch: str, progress: Progress
) -> Outcome:
    """Run all trials that this machine can run, `rounds` times."""
    outcome = Outcome(not_run=_not_run(trials))
    runnable = [trial for trial in trials if trial.peer not in outcome.not_run]
    with _redis_if_used(runnable, common, scratch) as port, _shelf(scratch) as shelf:
        params = replace(common, redis_port=port, shelf=shelf)
        for number in range(rounds):
            ordered = runnable if number % 2 == 0 else runnable[::-1]
            outcome.rounds.append({})
            for trial in ordered:
                if trial.key not in outcome.failed:
                    result = _one(trial, params, scratch)
                    _record(outcome, trial, result)
                    progress(number, trial, result)
    return outcome


def _not_run(trials: Sequence[Trial]) -> dict[str, str]:
    missing = {name: PEERS[name].missing() for name in {trial.peer: None for trial in trials}}
    return {name: "; ".join(reasons) for name, reasons in missing.items() if reasons}


def _one(trial: Trial, params: Params, scratch: str) -> Measurement | Failure:
    if PEERS[trial.peer].uses_redis and params.redis_port is not None:
        flush(params.redis_port)
    return launch(trial, params, scratch)


def _record(outcome: Outcome, trial: Trial, result: Measurement | Failure) -> None:
    if isinstance(result, Failure):
        outcome.failed[trial.key] = result.reason
    else:
        outcome.rounds[-1][trial.key] = result


@contextmanager
def _redis_if_used(trials: Sequence[Trial], params: Params, scratch: str) -> Iterator[int | None]:
    if not any(PEERS[trial.peer].uses_redis for trial in trials):
        yield None
        return
    with redis_server(params.appendfsync, scratch) as port:
        if not params.latency_ms:
            yield port
            return
        with distance(port, params.latency_ms) as far:
            yield far


@contextmanager
def _shelf(scratch: str) -> Iterator[str]:
    with TemporaryDirectory(prefix="toril-bench-shelf-", dir=scratch) as directory:
        yield directory
