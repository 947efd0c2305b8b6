"""Output: data goes to stdout, everything else to stderr; tables for people, JSON for scripts."""

from __future__ import annotations

import re
import signal
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import click
import msgspec
from rich import box
from rich.console import Console
from rich.table import Table

from toril.cli.exits import Exit
from toril.model import codec
from toril.model.durations import from_epoch_ms
from toril.printable import block, one_line


def out() -> Console:
    """Return a console for stdout. Rich itself respects NO_COLOR."""
    return Console(highlight=False, markup=False, emoji=False)


def err() -> Console:
    """Return a console for stderr."""
    return Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)


def say(*lines: str) -> None:
    """Print lines of a message, which goes to stderr because it is not data."""
    err().print("\n".join(map(block, lines)))


def counted(number: int, noun: str = "job") -> str:
    """Return a number with a noun, for example "1 job" or "2,000 jobs"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def print_json(document: Any) -> None:
    """Print a JSON document, always in UTF-8, whatever the terminal's encoding is."""
    text = msgspec.json.format(codec.dump(document), indent=2)
    sys.stdout.flush()
    sys.stdout.buffer.write(_UNPRINTABLE.sub(_escaped_in_json, text).encode() + b"\n")


# JSON escapes only the control characters of ASCII. Between its strings, there are no others.
_UNPRINTABLE = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def _escaped_in_json(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"


def print_lines(text: str) -> None:
    """Print text unchanged; for a terminal, make it visible first and indent further lines."""
    sys.stdout.write((block(text) if sys.stdout.isatty() else text) + "\n")


def print_block(text: str) -> None:
    """Print text with visible escapes and its further lines indented."""
    click.echo(block(text))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, empty: str) -> None:
    """Print a table. In a pipe, cells are never wrapped or cut.

    Args:
        columns: The headings. A heading that starts with # has numbers; one that starts with !
            is not wrapped.
        rows: The cells.
        empty: The message to print if there are no rows.
    """
    cells = [[_cell(value) for value in row] for row in rows]
    if not cells:
        say(empty)
        return
    headings = [one_line(column.lstrip("#!")) for column in columns]
    if not sys.stdout.isatty():
        _print_plain([headings, *cells], [column.startswith("#") for column in columns])
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=0)
    for heading, column in zip(headings, columns, strict=True):
        table.add_column(
            heading,
            justify="right" if column.startswith("#") else "left",
            no_wrap=heading != column,
            overflow="fold",
        )
    for row in cells:
        table.add_row(*row)
    out().print(table)


def print_facts(facts: Iterable[tuple[str, Any]]) -> None:
    """Print names and values, one pair per line."""
    rows = [(name, _cell(value)) for name, value in facts]
    if not sys.stdout.isatty():
        _print_plain(rows, [False, False])
        return
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for row in rows:
        table.add_row(*row)
    out().print(table)


def _print_plain(rows: Sequence[Sequence[str]], right: Sequence[bool]) -> None:
    """Print each row on one line, however long it is."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for line in rows:
        padded = (
            cell.rjust(width) if numeric else cell.ljust(width)
            for cell, width, numeric in zip(line, widths, right, strict=True)
        )
        click.echo("  ".join(padded).rstrip())


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.1f}"
    return one_line(str(value))


def when(ms: int | None) -> str | None:
    """Format a time in the machine's time zone; None stays None."""
    if ms is None:
        return None
    return from_epoch_ms(ms).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def age(ms: int, now: int) -> str:
    """Return how long ago a time was, in the largest suitable unit.

    Args:
        ms: The time, in milliseconds since 1970.
        now: The current time, in milliseconds since 1970.
    """
    seconds = max(now - ms, 0) // 1000
    for unit, size in _UNITS:
        if seconds >= size:
            return f"{seconds // size:,} {unit}"
    return "now"


_UNITS = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))


def confirm(question: str, *, yes: bool) -> None:
    """Ask for confirmation of something that cannot be undone, and exit if it is denied.

    Args:
        question: The question, with the number of jobs affected.
        yes: Whether the user has already confirmed.

    Raises:
        click.exceptions.Exit: The user did not confirm, or there is no terminal to ask on.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        say(f"{question} Nothing was done: without a terminal this needs --yes.")
        raise click.exceptions.Exit(Exit.USAGE)
    # The event loop would not handle Ctrl-C until the question is answered.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        agreed = _ask(question)
    finally:
        signal.signal(signal.SIGINT, before)
    if not agreed:
        say("Nothing was done.")
        raise click.exceptions.Exit(Exit.FAILED)


def _ask(question: str) -> bool:
    """Return the user's answer. `input()` does not react to Ctrl-C under every event loop."""
    while True:
        click.echo(f"{one_line(question)} [y/N] ", nl=False, err=True)
        answer = sys.stdin.readline()
        if not answer:
            raise click.Abort
        if answer.strip().lower() in _ANSWERS:
            return _ANSWERS[answer.strip().lower()]


_ANSWERS = {"y": True, "yes": True, "n": False, "no": False, "": False}
