"""Output: data on stdout, everything else on stderr, tables for people, JSON for scripts."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import click
import msgspec
from rich import box
from rich.console import Console
from rich.table import Table

from toril.cli.exits import Exit

_WIDE = 240  # columns, where nobody looks: a pipe must not lose what a window would cut


def out() -> Console:
    """Return stdout. Rich itself honours NO_COLOR."""
    width = None if sys.stdout.isatty() else _WIDE
    return Console(width=width, highlight=False, markup=False, emoji=False)


def err() -> Console:
    """Return stderr."""
    return Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)


def say(text: str) -> None:
    """Tell something that is no data."""
    err().print(text)


def print_json(document: Any) -> None:
    """Print one JSON document."""
    text = msgspec.json.format(msgspec.json.encode(document), indent=2).decode()
    sys.stdout.write(text + "\n")


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, empty: str) -> None:
    """Print a table, numbers to the right.

    Args:
        columns: The headings; one that begins with # has numbers.
        rows: The cells.
        empty: What to say instead of a table without rows.
    """
    cells = [[_cell(value) for value in row] for row in rows]
    if not cells:
        say(empty)
        return
    table = Table(box=box.SIMPLE_HEAD if sys.stdout.isatty() else None, pad_edge=False)
    for column in columns:
        numeric = column.startswith("#")
        table.add_column(
            column.removeprefix("#"), justify="right" if numeric else "left", no_wrap=numeric
        )
    for row in cells:
        table.add_row(*row)
    out().print(table)


def print_facts(facts: Iterable[tuple[str, Any]]) -> None:
    """Print names and values, a line each."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in facts:
        table.add_row(name, _cell(value))
    out().print(table)


def _cell(value: Any) -> str:
    """Return a value as text that cannot steer the terminal."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.1f}"
    return "".join(c if c.isprintable() or c == "\n" else "\ufffd" for c in str(value))


def when(ms: int | None) -> str | None:
    """Return a time in this machine's zone; None stays None."""
    if ms is None:
        return None
    return datetime.fromtimestamp(ms / 1000, tz=UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def iso(ms: int | None) -> str | None:
    """Return a time for a JSON document; None stays None."""
    return None if ms is None else datetime.fromtimestamp(ms / 1000, tz=UTC).isoformat()


def confirm(question: str, *, yes: bool) -> None:
    """Ask before something that cannot be undone.

    Args:
        question: What is about to happen, with the count.
        yes: The user has said so already.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        say(f"{question} Nothing was done: without a terminal this needs --yes.")
        raise click.exceptions.Exit(Exit.USAGE)
    if not click.confirm(question, err=True):
        say("Nothing was done.")
        raise click.exceptions.Exit(Exit.OK)
