"""The report on a terminal."""

import sys

from rich.console import Console
from rich.table import Table

from benchmarks.launcher import Failure
from benchmarks.measurement import Measurement
from benchmarks.reports.cells import HEADINGS, cells
from benchmarks.reports.report import Report
from benchmarks.summary import Line
from benchmarks.trials import Trial

PIPED_WIDTH = 160

_progress = Console(stderr=True)


def show_progress(number: int, trial: Trial, result: Measurement | Failure) -> None:
    """One line a trial, on stderr."""
    _progress.print(f"round {number + 1}  {trial.key:32} {_outcome(result)}", highlight=False)


def show(report: Report) -> None:
    """The table on stdout, then what is missing from it."""
    console = Console(width=None if sys.stdout.isatty() else PIPED_WIDTH)
    table = Table(*HEADINGS, title=f"Toril beside its peers, medians: {report.name}")
    for line in report.lines:
        table.add_row(*cells(line), style=_style(line))
    console.print(table)
    for complaint in report.complaints:
        console.print(complaint, style="yellow", highlight=False, markup=False)


def _outcome(result: Measurement | Failure) -> str:
    if isinstance(result, Failure):
        return f"failed: {result.reason}"
    return "  ".join(f"{name} {value:,.4g}" for name, value in result.values.items())


def _style(line: Line) -> str:
    verdicts = [verdict for _, verdict in line.verdicts]
    if False in verdicts:
        return "red"
    return "green" if verdicts and all(verdicts) else ""
