"""Medians, and ratios taken round by round."""

from collections.abc import Mapping, Sequence
from statistics import median

import msgspec

from benchmarks.measurement import Measurement
from benchmarks.rows import Goal, Metric, Row

Rounds = Sequence[Mapping[str, Measurement]]


class Line(msgspec.Struct, frozen=True):
    """A row with its figures; what could not be measured is None."""

    row: Row
    ours: float | None
    theirs: float | None
    ratio: float | None
    ratio_range: tuple[float, float] | None

    @property
    def verdicts(self) -> list[tuple[Goal, bool | None]]:
        """Each goal and whether it is met; None where a figure is missing."""
        return [(goal, self._verdict(goal)) for goal in self.row.goals]

    def _verdict(self, goal: Goal) -> bool | None:
        if self.ours is None or (goal.of_ratio and self.ratio is None):
            return None
        return goal.met(self.ours, self.ratio)


def summarize(row: Row, rounds: Rounds) -> Line:
    """Condense a row's measurements."""
    ours = [_value(row.ours, measured) for measured in rounds]
    theirs = [_best(row.against, measured) for measured in rounds]
    ratios = [a / b for a, b in zip(ours, theirs, strict=True) if a is not None and b]
    return Line(
        row=row,
        ours=_median(ours),
        theirs=_median(theirs),
        ratio=_median(ratios),
        ratio_range=(min(ratios), max(ratios)) if ratios else None,
    )


def medians(rounds: Rounds) -> dict[str, dict[str, float]]:
    """The median of every value of every trial."""
    trials = {
        key: measurement.values for measured in rounds for key, measurement in measured.items()
    }
    return {
        key: {name: _present_median(Metric(key, name), rounds) for name in values}
        for key, values in sorted(trials.items())
    }


def _present_median(metric: Metric, rounds: Rounds) -> float:
    found = [_value(metric, measured) for measured in rounds]
    return median(value for value in found if value is not None)


def _value(metric: Metric, measured: Mapping[str, Measurement]) -> float | None:
    measurement = measured.get(metric.trial)
    return measurement.values[metric.value] if measurement else None


def _best(metrics: Sequence[Metric], measured: Mapping[str, Measurement]) -> float | None:
    found = [_value(metric, measured) for metric in metrics]
    return max((value for value in found if value is not None), default=None)


def _median(values: Sequence[float | None]) -> float | None:
    present = [value for value in values if value is not None]
    return median(present) if present else None
