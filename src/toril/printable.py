"""Text from any source, made safe for a terminal: logs and the command line print it.

A job's name or an error's message may contain sequences that steer a terminal, characters that
reverse the text after them, or line breaks that make it look like several log lines.
"""

from __future__ import annotations

import logging
import unicodedata
from typing import Any

INDENT = "    "
"""What further lines of a text begin with, so that only a new message begins at the margin."""

_JOINERS = frozenset("\u200c\u200d")  # parts of ordinary text and emoji


def visible(text: str) -> str:
    r"""Replace what could control a terminal by visible escapes, such as `\x1b`.

    Args:
        text: The text; its line breaks and tabs are kept.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in "\n\t" else _escaped(c) for c in text)


def one_line(text: str) -> str:
    """Replace line breaks and tabs by visible escapes too."""
    return visible(text).replace("\n", "\\n").replace("\t", "\\t")


def block(text: str) -> str:
    """Return visible text whose further lines are indented."""
    return visible(text).replace("\n", f"\n{INDENT}")


def indented(text: str) -> str:
    """Return visible text with all lines indented."""
    return INDENT + block(text)


def _escaped(c: str) -> str:
    if c in _JOINERS or unicodedata.category(c) == "Zs":
        return c
    return c.encode("unicode_escape").decode()


def logger(name: str) -> logging.Logger:
    """Return a logger whose messages are safe to print, whatever handler prints them.

    Args:
        name: The logger's name.
    """
    found = logging.getLogger(name)
    found.addFilter(_clean)
    return found


_tracebacks = logging.Formatter()


def _clean(record: logging.LogRecord) -> bool:
    """Clean what a message quotes and the traceback below it; let the record through."""
    if isinstance(record.args, tuple):
        record.args = tuple(map(_clean_argument, record.args))
    if record.exc_info and not record.exc_text:
        record.exc_text = indented(_tracebacks.formatException(record.exc_info))
    return True


def _clean_argument(value: Any) -> Any:
    return value if isinstance(value, int | float) else block(str(value))


class LogFormatter(logging.Formatter):
    """Formats records of any logger so that they are safe to print."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """Return the first part of a record: its message with time and level."""
        lines = visible(super().formatMessage(record)).split("\n")
        return "\n".join([lines[0], *(_under(line) for line in lines[1:])])

    def formatException(self, ei: Any) -> str:  # noqa: N802
        """Return a traceback."""
        return indented(super().formatException(ei))

    def formatStack(self, stack_info: str) -> str:  # noqa: N802
        """Return the place from which a record was logged."""
        return indented(super().formatStack(stack_info))


def _under(line: str) -> str:
    """Indent a further line of a message, unless it is indented already."""
    return line if line.startswith(INDENT) or not line else INDENT + line
