"""The report as a picture: rates side by side, and the ratios against their goals."""

from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from benchmarks.reports.report import Report
from benchmarks.summary import Line, medians

OURS, THEIRS, MISSED = "#c8102e", "#8a8f98", "#e3a008"
ROW_HEIGHT = 0.34
WIDTH = 12.0


def draw(report: Report, path: Path) -> None:
    """Write the picture; the same report gives the same bytes."""
    rates = {
        trial: values["rate"]
        for trial, values in medians(report.outcome.rounds).items()
        if "rate" in values
    }
    ratios = [line for line in report.lines if line.ratio is not None]
    height = 1.6 + ROW_HEIGHT * max(len(rates), len(ratios), 1)
    with mpl.rc_context({"svg.hashsalt": "toril", "svg.fonttype": "none"}):
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        left, right = figure.subplots(1, 2)
        _draw_rates(left, rates)
        _draw_ratios(right, ratios)
        figure.savefig(path, metadata={"Date": None})


def _draw_rates(axes: Axes, rates: dict[str, float]) -> None:
    ordered = sorted(rates.items(), key=_scenario_then_peer, reverse=True)
    names = [name for name, _ in ordered]
    colours = [OURS if name.startswith("toril") else THEIRS for name in names]
    bars = axes.barh(names, [rate for _, rate in ordered], color=colours)
    axes.bar_label(bars, fmt="{:,.0f}", padding=3)
    axes.margins(x=0.18)
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.set_title("jobs a second (median)")
    axes.spines[["top", "right"]].set_visible(False)


def _scenario_then_peer(item: tuple[str, float]) -> tuple[str, int, str]:
    peer, scenario = item[0].split(".", 1)
    name, _, concurrency = scenario.partition("-")
    return name, int(concurrency or 0), peer


def _draw_ratios(axes: Axes, lines: list[Line]) -> None:
    ordered = lines[::-1]
    names = [f"{line.row.label}\nagainst {line.row.versus}" for line in ordered]
    axes.barh(
        names, [line.ratio or 0 for line in ordered], color=[_colour(line) for line in ordered]
    )
    for place, line in enumerate(ordered):
        for goal in line.row.goals:
            bound = goal.least if goal.least is not None else goal.most
            if goal.of_ratio and bound is not None:
                axes.vlines(bound, place - 0.45, place + 0.45, color="black", linewidth=2)
    axes.axvline(1, color=THEIRS, linewidth=0.8)
    axes.tick_params(axis="y", labelsize=8)
    axes.set_xscale("log")
    axes.set_title("ratio to the peer in the same round (line: goal)")
    axes.spines[["top", "right"]].set_visible(False)


def _colour(line: Line) -> str:
    return MISSED if any(verdict is False for _, verdict in line.verdicts) else OURS
