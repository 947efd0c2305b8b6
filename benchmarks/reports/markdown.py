"""The report as a Markdown page."""

from collections.abc import Iterable, Iterator

from benchmarks.peers import PEERS
from benchmarks.reports.cells import HEADINGS, cells
from benchmarks.reports.report import Report
from benchmarks.summary import medians

_HOW = """\
Figures are medians over the rounds; ratios are taken within each round, and their median and \
range are shown. Each trial ran in a fresh process, and every job was checked to have run \
exactly once. Compare ratios, not figures from different runs."""


def page(report: Report) -> str:
    """The whole page."""
    return "\n".join(_lines(report)) + "\n"


def _lines(report: Report) -> Iterator[str]:
    rounds = len(report.outcome.rounds)
    yield f"# Benchmarks: {report.name}"
    yield ""
    yield f"{report.date}, {rounds} rounds, {report.params.jobs:,} jobs a trial: `{report.command}`"
    yield ""
    yield _HOW
    yield ""
    yield from _table(HEADINGS, (cells(line) for line in report.lines))
    yield ""
    yield f"![{report.name}]({report.name}.svg)"
    yield ""
    yield from _bullets("What could not be measured", report.complaints)
    yield from _bullets("Machine", (f"{what}: {value}" for what, value in report.machine.items()))
    yield from _bullets("Systems", (f"{key}: {peer.title}" for key, peer in PEERS.items()))
    yield "## All medians"
    yield ""
    yield from _table(("trial", "value", "median"), _medians(report))


def _medians(report: Report) -> Iterator[tuple[str, ...]]:
    for trial, values in medians(report.outcome.rounds).items():
        for name, value in values.items():
            yield trial, name, f"{value:,.0f}" if name == "rate" else f"{value:.3g}"


def _table(headings: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    headings = list(headings)
    yield _row(headings)
    yield _row("---" for _ in headings)
    yield from map(_row, rows)


def _row(texts: Iterable[str]) -> str:
    return f"| {' | '.join(texts)} |"


def _bullets(heading: str, sentences: Iterable[str]) -> Iterator[str]:
    sentences = list(sentences)
    if sentences:
        yield f"## {heading}"
        yield ""
        yield from (f"- {sentence}" for sentence in sentences)
        yield ""
