"""How figures are written, the same in every report."""

from benchmarks.rows import Goal, Unit
from benchmarks.summary import Line

HEADINGS = ("what", "Toril", "peer", "the peer is", "ratio (range)", "goal", "met")
NONE = "–"


def cells(line: Line) -> tuple[str, ...]:
    """A row's cells, in the order of the headings."""
    return (
        f"{line.row.label} ({line.row.unit})",
        figure(line.ours, line.row.unit),
        figure(line.theirs, line.row.unit),
        line.row.versus or NONE,
        _ratio(line),
        ", ".join(goal_text(goal, line.row.unit) for goal in line.row.goals) or NONE,
        met(line),
    )


def figure(value: float | None, unit: Unit) -> str:
    """A value in its unit's usual precision."""
    if value is None:
        return NONE
    return f"{value:,.0f}" if unit is Unit.RATE else f"{value:.3g}"


def goal_text(goal: Goal, unit: Unit) -> str:
    """A goal as a bound."""
    sign, bound = ("≥", goal.least) if goal.least is not None else ("≤", goal.most)
    return f"{sign} {bound:g}×" if goal.of_ratio else f"{sign} {bound:g} {unit}"


def met(line: Line) -> str:
    """Whether the goals are met, all or which."""
    words = {True: "yes", False: "NO", None: "not measured"}
    return ", ".join(words[verdict] for _, verdict in line.verdicts) or NONE


def _ratio(line: Line) -> str:
    if line.ratio is None or line.ratio_range is None:
        return NONE
    low, high = line.ratio_range
    return f"{line.ratio:.2f}× ({low:.2f}–{high:.2f})"
