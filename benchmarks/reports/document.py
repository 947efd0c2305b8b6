"""The report as one JSON document, every round in it."""

import msgspec

from benchmarks.reports.cells import goal_text
from benchmarks.reports.report import Report
from benchmarks.summary import Line


def document(report: Report) -> bytes:
    """The document, indented."""
    content = {
        "name": report.name,
        "date": report.date,
        "command": report.command,
        "machine": report.machine,
        "jobs": report.params.jobs,
        "large_backlog": report.params.large,
        "rows": [_row(line) for line in report.lines],
        "not_run": report.outcome.not_run,
        "failed": report.outcome.failed,
        "rounds": report.outcome.rounds,
    }
    return msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n"


def _row(line: Line) -> dict[str, object]:
    row = line.row
    return {
        "key": row.key,
        "label": row.label,
        "unit": row.unit,
        "toril": line.ours,
        "peer": line.theirs,
        "peer_is": row.versus or None,
        "ratio": line.ratio,
        "ratio_range": line.ratio_range,
        "goals": [
            {"goal": goal_text(goal, row.unit), "met": verdict} for goal, verdict in line.verdicts
        ],
    }
