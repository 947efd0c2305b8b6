"""Where reports are kept."""

from pathlib import Path

from benchmarks.reports.document import document
from benchmarks.reports.markdown import page
from benchmarks.reports.plot import draw
from benchmarks.reports.report import Report

RESULTS = Path(__file__).parents[1] / "results"


def write(report: Report) -> list[Path]:
    """Write the page, the document and the picture; gives their paths."""
    RESULTS.mkdir(exist_ok=True)
    markdown, json, picture = (RESULTS / f"{report.name}.{end}" for end in ("md", "json", "svg"))
    markdown.write_text(page(report), encoding="utf-8")
    json.write_bytes(document(report))
    draw(report, picture)
    return [markdown, json, picture]
