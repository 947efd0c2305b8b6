"""Exceptions as attempt errors: whatever a handler raises can be written down."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from toril.model.job import AttemptError, Lease
from toril.model.outcome import OutcomeSignal, Retry, Snooze

MAX_MESSAGE = 4_000
MAX_STACK = 16_000

_HERE = Path(__file__).parent


def error_of(lease: Lease, kind: str, message: str, stack: str = "") -> AttemptError:
    """Return what an attempt is said to have failed of.

    Args:
        lease: The lease it ran under.
        kind: The error's type.
        message: Its message; the end of a long one is cut off.
        stack: The traceback; the beginning of a long one is cut off.
    """
    return AttemptError(
        lease.attempts_made + 1,
        kind,
        _storable(message if len(message) <= MAX_MESSAGE else message[: MAX_MESSAGE - 1] + "…"),
        _storable(stack if len(stack) <= MAX_STACK else "…" + stack[1 - MAX_STACK :]),
    )


def error_from(lease: Lease, exception: BaseException) -> AttemptError:
    """Return an exception as an attempt's error.

    Of an exception group every member is named: none of two errors that happened at once
    is lost.

    Args:
        lease: The lease the attempt ran under.
        exception: What the handler raised.
    """
    return error_of(lease, type(exception).__name__, message_of(exception), stack_of(exception))


def message_of(exception: BaseException) -> str:
    """Return an exception's message, even if it cannot say it."""
    if isinstance(exception, BaseExceptionGroup):
        leaves = [f"{type(e).__name__}: {_text(e)}" for e in leaves_of(exception)]
        return f"{len(leaves)} errors at once: {'; '.join(leaves)}"
    return _text(exception)


def leaves_of(exception: BaseException) -> Iterator[BaseException]:
    """Yield an exception, or the members of a group and of the groups in it."""
    if isinstance(exception, BaseExceptionGroup):
        for member in exception.exceptions:
            yield from leaves_of(member)
    else:
        yield exception


def signal_of(exception: BaseException) -> OutcomeSignal | None:
    """Return the outcome that a handler asked for, alone or among other errors.

    Of several the one that ends the job goes before one that tries again.
    """
    signals = [e for e in leaves_of(exception) if isinstance(e, OutcomeSignal)]
    final = [s for s in signals if not isinstance(s, Retry | Snooze)]
    return next(iter(final or signals), None)


def _text(exception: BaseException) -> str:
    try:
        return str(exception) or type(exception).__name__
    except Exception as error:  # noqa: BLE001 - a broken __str__ must not hide what happened
        return f"<its message could not be read: {type(error).__name__}>"


def stack_of(exception: BaseException) -> str:
    """Return an exception's traceback as text, from where the handler's code begins."""
    try:
        trace = _users_part(exception.__traceback__)
        return "".join(traceback.format_exception(type(exception), exception, trace))
    except Exception as error:  # noqa: BLE001 - as for its message
        return f"<its traceback could not be read: {type(error).__name__}>"


def _users_part(trace: TracebackType | None) -> TracebackType | None:
    """Return a traceback from where the handler's own code begins."""
    own = trace
    while own is not None and Path(own.tb_frame.f_code.co_filename).parent == _HERE:
        own = own.tb_next
    return own or trace


def _storable(text: str) -> str:
    """Return text without lone surrogates, which no store takes."""
    return text.encode("utf-8", "replace").decode()
