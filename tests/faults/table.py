"""The table that `make chaos` prints."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.faults.checker import Verdict

_COLUMNS = (
    ("scenario", -28),
    ("seed", 10),
    ("faults", 6),
    ("jobs", 6),
    ("runs", 6),
    ("extra", 5),
    ("lost", 4),
    ("doubled", 7),
    ("stale", 5),
    ("seconds", 7),
    ("verdict", -7),
)


@dataclass(slots=True)
class Row:
    """What became of a run.

    Attributes:
        scenario: Its name.
        seed: From which it can be repeated.
        seconds: How long it took.
        verdict: The checker's; None where the run did not come so far.
        problems: Why it is red; none is green.
        notes: What was measured beside.
    """

    scenario: str
    seed: int
    seconds: float = 0.0
    verdict: Verdict | None = None
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def green(self) -> bool:
        return self.verdict is not None and not self.problems


def header() -> str:
    return _line([name for name, _ in _COLUMNS]) + "\n" + _line(["-" * abs(w) for _, w in _COLUMNS])


def of(row: Row) -> str:
    """Return a run's row, and below it why it is red and what was measured."""
    verdict = row.verdict
    numbers: list[int | str] = (
        ["-"] * 7
        if verdict is None
        else [
            verdict.faults,
            verdict.accepted,
            verdict.runs,
            verdict.extra,
            len(verdict.lost),
            len(verdict.doubled),
            len(verdict.stale),
        ]
    )
    cells = [
        row.scenario,
        row.seed,
        *numbers,
        f"{row.seconds:.1f}",
        "green" if row.green else "RED",
    ]
    below = [f"    {note}" for note in row.notes]
    below += [f"  ! {problem}" for problem in row.problems]
    return "\n".join([_line(cells), *below])


def _line(cells: list[int | str] | list[str]) -> str:
    return "  ".join(
        f"{cell!s:<{-width}}" if width < 0 else f"{cell!s:>{width}}"
        for cell, (_, width) in zip(cells, _COLUMNS, strict=True)
    ).rstrip()
