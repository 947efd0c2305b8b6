"""Judging a run: what each kind of worker made of each scenario, and what was to be expected."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

DIFFERENCES = Path(__file__).with_name("differences.toml")


@dataclass(frozen=True, slots=True)
class Played:
    """How a scenario went with one kind of worker.

    Attributes:
        group: The behaviour that it is about.
        scenario: Its title.
        error: What went wrong, if anything.
        wrong: The jobs that were found lost or doubled at the end.
        ms: How long it took.
    """

    group: str
    scenario: str
    error: str | None
    wrong: tuple[str, ...] = ()
    ms: int = 0

    @property
    def name(self) -> str:
        return f"{self.group}: {self.scenario}"

    @property
    def passed(self) -> bool:
        return self.error is None and not self.wrong

    @property
    def trouble(self) -> str:
        return "; ".join([*([self.error] if self.error else []), *self.wrong])


@dataclass(frozen=True, slots=True)
class Row:
    """A scenario with both kinds of workers, and why they differ."""

    name: str
    bullmq: Played | None
    toril: Played | None
    reason: str | None


def read_differences(path: Path = DIFFERENCES) -> dict[str, str]:
    """Return the scenarios that Toril is known not to pass, each with the reason."""
    with path.open("rb") as file:
        return {
            f"{group}: {scenario}": reason
            for group, reasons in tomllib.load(file).items()
            for scenario, reason in reasons.items()
        }


def rows_of(played: Mapping[str, Iterable[Played]], differences: Mapping[str, str]) -> list[Row]:
    """Return the rows of the table, in the order of the scenarios' names."""
    by_kind = {kind: {one.name: one for one in all_} for kind, all_ in played.items()}
    names = sorted({name for found in by_kind.values() for name in found})
    return [
        Row(
            name,
            by_kind.get("bullmq", {}).get(name),
            by_kind.get("toril", {}).get(name),
            differences.get(name),
        )
        for name in names
    ]


def complaints(rows: Iterable[Row]) -> Iterator[str]:
    """Yield what was not to be expected.

    BullMQ's worker passes everything: otherwise the scenario is wrong. Toril's passes what is not
    listed, fails what is listed, and never loses or doubles a job.
    """
    for row in rows:
        if row.bullmq is not None and not row.bullmq.passed:
            yield f"{row.name}: fails with BullMQ's own worker: {row.bullmq.trouble}"
        if row.toril is None:
            continue
        if row.toril.wrong:
            yield f"{row.name}: jobs are lost or doubled: {row.toril.trouble}"
        elif not row.toril.passed and row.reason is None:
            yield f"{row.name}: fails with Toril: {row.toril.trouble}"
        elif row.toril.passed and row.reason is not None:
            yield f"{row.name}: passes with Toril; remove it from {DIFFERENCES.name}"


def unknown(rows: Iterable[Row], differences: Mapping[str, str]) -> Iterator[str]:
    """Yield the listed differences that no scenario has."""
    names = {row.name for row in rows}
    for name in differences:
        if name not in names:
            yield f"{name}: is listed in {DIFFERENCES.name}, and there is no such scenario"
