"""Turns whatever a handler raises into an attempt error that can be stored."""

from __future__ import annotations

from pathlib import Path

from toril.model.exceptions import MAX_MESSAGE, MAX_NAME, cut, leaves_of, message_of, name_of
from toril.model.job import AttemptError, Lease
from toril.model.outcome import OutcomeSignal, Retry, Snooze
from toril.model.real_type import is_a
from toril.model.tracebacks import traceback_of

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
        _storable(cut(kind, MAX_NAME)),
        _storable(cut(message, MAX_MESSAGE)),
        _storable(stack if len(stack) <= MAX_STACK else "…" + stack[1 - MAX_STACK :]),
    )


def error_from(lease: Lease, exception: BaseException) -> AttemptError:
    """Convert an exception to an attempt error. Never raises.

    The message of an exception group names every member, so that no error gets lost.

    Args:
        lease: The lease that the attempt ran under.
        exception: The exception that the handler raised.
    """
    return error_of(lease, name_of(exception), message_of(exception), stack_of(exception))


def signal_of(exception: BaseException) -> OutcomeSignal | None:
    """Return the outcome signal that a handler raised, alone or within an exception group.

    If there are several, one that ends the job takes precedence over one that runs it again.
    """
    signals = [e for e in leaves_of(exception) if is_a(e, OutcomeSignal)]
    final = [s for s in signals if not (is_a(s, Retry) or is_a(s, Snooze))]
    return next(iter(final or signals), None)


def stack_of(exception: BaseException) -> str:
    """Return an exception's traceback as text, without Toril's own frames at the top."""
    return traceback_of(exception, without=_HERE)


def _storable(text: str) -> str:
    """Replace lone surrogates, which stores do not accept."""
    return text.encode("utf-8", "replace").decode()
