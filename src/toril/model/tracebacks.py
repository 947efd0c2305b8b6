"""Writes tracebacks, whatever the exceptions in them do when they are looked at."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from toril.model.exceptions import MAX_MESSAGE, description_of, name_of, text_of
from toril.model.real_type import is_a

_MOST_EXCEPTIONS = 30  # that came from one another; more make no traceback clearer
_MOST_FRAMES = 200  # of each exception, the innermost ones

_CAUSED = "\nThe above exception led to the following exception:\n\n"

_trace = vars(BaseException)["__traceback__"].__get__
_cause = vars(BaseException)["__cause__"].__get__
_context = vars(BaseException)["__context__"].__get__
_members = vars(BaseExceptionGroup)["exceptions"].__get__


def traceback_of(exception: BaseException, *, without: Path | None = None) -> str:
    """Return an exception's traceback as text.

    The standard library writes most of them. It does not bear exceptions that raise when they are
    looked at, thousands that came from one another, or messages of any size: those tracebacks are
    shorter and simpler.

    Args:
        exception: The exception.
        without: A folder. The outermost frames of code in it are left out.
    """
    try:
        if _is_ordinary(exception):
            trace = _inner_part(_trace(exception), without)
            lines = traceback.format_exception(
                type(exception), exception, trace, limit=-_MOST_FRAMES
            )
            return "".join(lines)
    except BaseException:  # noqa: BLE001, S110 - an exception may raise anything when looked at
        pass
    return _in_brief(exception, without)


def _is_ordinary(exception: BaseException) -> bool:
    return all(
        place < _MOST_EXCEPTIONS and len(text_of(found)) < MAX_MESSAGE
        for place, found in enumerate(_connected(exception))
    )


def _connected(exception: BaseException) -> Iterator[BaseException]:
    """Yield an exception, what it came from, and its members, each of them once."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [exception]
    while waiting:
        found = waiting.pop()
        if found is None or id(found) in seen:
            continue
        seen.add(id(found))
        yield found
        waiting += (_cause(found), _context(found))
        if is_a(found, BaseExceptionGroup):
            waiting += _members(found)


def _in_brief(exception: BaseException, without: Path | None) -> str:
    """Write the exception and what it came from, the last exceptions only."""
    parts: list[str] = []
    seen: set[int] = set()
    found: BaseException | None = exception
    while found is not None and id(found) not in seen and len(parts) < _MOST_EXCEPTIONS:
        seen.add(id(found))
        frames = _frames(found, without)
        parts.append(f"Traceback (most recent call last):\n{frames}{description_of(found)}\n")
        cause = _cause(found)
        found = _context(found) if cause is None else cause
    return _CAUSED.join(reversed(parts))


def _frames(exception: BaseException, without: Path | None) -> str:
    try:
        trace = _inner_part(_trace(exception), without)
        return "".join(traceback.format_tb(trace, -_MOST_FRAMES))
    except BaseException as error:  # noqa: BLE001 - reading the source runs code of its loader
        return f"  <the traceback could not be read: {name_of(error)}>\n"


def _inner_part(trace: TracebackType | None, without: Path | None) -> TracebackType | None:
    """Return the part of a traceback that starts outside a folder; all of it if there is none."""
    inner = trace
    while inner is not None and Path(inner.tb_frame.f_code.co_filename).parent == without:
        inner = inner.tb_next
    return inner or trace
