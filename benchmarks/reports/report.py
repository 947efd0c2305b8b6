"""A finished run, ready to be written."""

import msgspec

from benchmarks.measurement import Params
from benchmarks.rounds import Outcome
from benchmarks.summary import Line


class Report(msgspec.Struct, frozen=True):
    """All that a reader needs to judge the figures."""

    name: str
    date: str
    command: str
    machine: dict[str, str]
    params: Params
    outcome: Outcome
    lines: list[Line]

    @property
    def complaints(self) -> list[str]:
        """What was not run and what failed, as sentences."""
        not_run = [f"Not run: {peer}: {why}." for peer, why in self.outcome.not_run.items()]
        failed = [f"Failed: {trial}: {why}" for trial, why in self.outcome.failed.items()]
        return not_run + failed
