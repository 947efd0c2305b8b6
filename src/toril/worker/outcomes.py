"""What a handler's return or exception means, wherever it ran."""

from __future__ import annotations

from typing import Any

from toril.errors import ValidationError
from toril.model import codec
from toril.model.job import Lease
from toril.model.outcome import (
    Discarded,
    Errored,
    ErrorKind,
    Outcome,
    Succeeded,
    from_signal,
    is_signal,
)
from toril.queues.arguments import ArgumentsError
from toril.worker.failures import error_from, error_of, signal_of

NOTHING = Succeeded(None)


def of_result(lease: Lease, result: Any, max_result: int) -> Outcome:
    """Return what a returned value means.

    Args:
        lease: The lease the attempt ran under.
        result: What the handler returned.
        max_result: The largest result, in bytes.
    """
    if result is None:
        return NOTHING
    if is_signal(result):
        return from_signal(result, error_from(lease, result))
    try:
        return Succeeded(codec.encode(result, "result", max_result))
    except ValidationError as error:
        # Running it again would do its work again, for the same result.
        return Discarded(error_of(lease, ErrorKind.BAD_RESULT, str(error)))


def of_error(lease: Lease, error: BaseException) -> Outcome:
    """Return what an exception means.

    Args:
        lease: The lease the attempt ran under.
        error: What the handler raised.
    """
    if isinstance(error, ArgumentsError):
        return Discarded(error_of(lease, ErrorKind.BAD_ARGUMENTS, str(error)))
    found = error_from(lease, error)
    asked = signal_of(error)
    return Errored(found) if asked is None else from_signal(asked, found)
