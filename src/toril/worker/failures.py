"""Turns whatever a handler raises into an attempt error that can be stored."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from toril.model.job import AttemptError, Lease
from toril.model.outcome import OutcomeSignal, Retry, Snooze
from toril.queues.context import cut

MAX_TYPE = 200
MAX_MESSAGE = 4_000
MAX_STACK = 16_000

_HERE = Path(__file__).parent


def error_of(lease: Lease, kind: str, message: str, stack: str = "") -> AttemptError:
    """Return an attempt error.

    Args:
        lease: The lease that the attempt ran under.
        kind: The error's type.
        message: The error's message; a long one is cut off at the end.
        stack: The traceback; a long one is cut off at the start.
    """
    return AttemptError(
        lease.attempts_made + 1,
        _storable(cut(kind, MAX_TYPE)),
        _storable(cut(message, MAX_MESSAGE)),
        _storable(stack if len(stack) <= MAX_STACK else "…" + stack[1 - MAX_STACK :]),
    )


def error_from(lease: Lease, exception: BaseException) -> AttemptError:
    """Convert an exception to an attempt error.

    The message of an exception group names every member, so that no error gets lost.

    Args:
        lease: The lease that the attempt ran under.
        exception: The exception that the handler raised.
    """
    return error_of(lease, type(exception).__name__, message_of(exception), stack_of(exception))


def message_of(exception: BaseException) -> str:
    """Return an exception's message, even if its `__str__` is broken."""
    if isinstance(exception, BaseExceptionGroup):
        leaves = list(leaves_of(exception))
        texts, length = [], 0
        for leaf in leaves:
            texts.append(cut(f"{type(leaf).__name__}: {_text(leaf)}", MAX_MESSAGE))
            length += len(texts[-1])
            if length > MAX_MESSAGE:  # the rest would be cut off
                break
        return f"{len(leaves)} errors at once: {'; '.join(texts)}"
    return _text(exception)


def leaves_of(exception: BaseException) -> Iterator[BaseException]:
    """Yield an exception itself, or all members of an exception group, however deep."""
    if isinstance(exception, BaseExceptionGroup):
        for member in exception.exceptions:
            yield from leaves_of(member)
    else:
        yield exception


def signal_of(exception: BaseException) -> OutcomeSignal | None:
    """Return the outcome signal that a handler raised, alone or within an exception group.

    If there are several, one that ends the job takes precedence over one that runs it again.
    """
    signals = [e for e in leaves_of(exception) if isinstance(e, OutcomeSignal)]
    final = [s for s in signals if not isinstance(s, Retry | Snooze)]
    return next(iter(final or signals), None)


def _text(exception: BaseException) -> str:
    try:
        return str(exception) or type(exception).__name__
    except Exception as error:  # noqa: BLE001 - a broken __str__ must not hide what happened
        return f"<the message could not be read: {type(error).__name__}>"


def stack_of(exception: BaseException) -> str:
    """Return an exception's traceback as text, without Toril's own frames at the top."""
    try:
        trace = _users_part(exception.__traceback__)
        return "".join(traceback.format_exception(type(exception), exception, trace))
    except Exception as error:  # noqa: BLE001 - as for the message
        return f"<the traceback could not be read: {type(error).__name__}>"


def _users_part(trace: TracebackType | None) -> TracebackType | None:
    """Return the part of a traceback that starts in the handler's own code."""
    own = trace
    while own is not None and Path(own.tb_frame.f_code.co_filename).parent == _HERE:
        own = own.tb_next
    return own or trace


def _storable(text: str) -> str:
    """Replace lone surrogates, which stores do not accept."""
    return text.encode("utf-8", "replace").decode()
