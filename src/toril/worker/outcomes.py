"""Converts what a handler returned or raised to an outcome, wherever the handler ran."""

from __future__ import annotations

from typing import Any

from toril.errors import ValidationError
from toril.model import codec
from toril.model.exceptions import description_of, message_of
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
from toril.model.real_type import is_a
from toril.queues.arguments import ArgumentsError
from toril.worker.failures import error_from, error_of, signal_of

NOTHING = Succeeded(None)


def of_result(lease: Lease, result: Any, max_result: int) -> Outcome:
    """Convert a handler's return value to an outcome. Never raises.

    Args:
        lease: The lease that the attempt ran under.
        result: The handler's return value.
        max_result: The largest allowed result, in bytes.
    """
    if result is None:
        return NOTHING
    if is_signal(result):
        return from_signal(result, error_from(lease, result))
    try:
        return Succeeded(codec.encode_reported(result, "result", max_result))
    except ValidationError as error:
        why = message_of(error)
    except BaseException as error:  # noqa: BLE001 - encoding runs code of the result's classes
        why = f"result: cannot be written as JSON: {description_of(error)}"
    # A retry would repeat the work and return the same unusable result.
    return Discarded(error_of(lease, ErrorKind.BAD_RESULT, why))


def of_error(lease: Lease, error: BaseException) -> Outcome:
    """Convert a handler's exception to an outcome. Never raises.

    Args:
        lease: The lease that the attempt ran under.
        error: The exception that the handler raised.
    """
    if is_a(error, ArgumentsError):
        return Discarded(error_of(lease, ErrorKind.BAD_ARGUMENTS, message_of(error)))
    found = error_from(lease, error)
    outcome_signal = signal_of(error)
    return Errored(found) if outcome_signal is None else from_signal(outcome_signal, found)
