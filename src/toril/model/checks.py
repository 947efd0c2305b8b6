"""Validation of names, ids and numbers."""

from __future__ import annotations

from typing import Any

from toril.errors import ValidationError

MAX_ID_LENGTH = 255
MAX_NAME_LENGTH = 10_000

RESERVED_IDS = frozenset(
    {
        "active",
        "completed",
        "delay",
        "delayed",
        "events",
        "failed",
        "id",
        "limiter",
        "marker",
        "meta",
        "paused",
        "pc",
        "prioritized",
        "repeat",
        "stalled",
        "stalled-check",
        "wait",
        "waiting-children",
    }
)
"""BullMQ's own key names. A job with such an id would overwrite one of the queue's keys."""


_COLON = "which separates the parts of a key; use - or _ instead"


def is_integer(value: object) -> bool:
    """Return whether a value is an integer. Booleans do not count, unlike in Python."""
    return isinstance(value, int) and not isinstance(value, bool)


def check_integer(value: Any, field: str, least: int, most: int | None = None) -> int:
    """Return an integer if it is within bounds.

    Args:
        value: The value to check.
        field: The field name for the error.
        least: The smallest allowed value.
        most: The largest allowed value; None means no upper bound.

    Raises:
        ValidationError: The value is not an integer, or is too small or too large.
    """
    if is_integer(value) and least <= value and (most is None or value <= most):
        found: int = value
        return found
    bounds = f"≥ {least}" if most is None else f"from {least} to {most}"
    raise ValidationError(field, f"must be an integer {bounds}, not {value!r}")


def check_text(value: Any, field: str, limit: int = MAX_ID_LENGTH) -> str:
    """Return text if its length is allowed for a name or an id.

    Raises:
        ValidationError: The value is not text, is empty or too long, or contains a lone
            surrogate.
    """
    if not isinstance(value, str) or not 0 < len(value) <= limit:
        raise ValidationError(field, f"must be text of 1 to {limit} characters, not {value!r}")
    if not value.isascii() and any("\ud800" <= c <= "\udfff" for c in value):
        raise ValidationError(
            field, f"{value!r} contains a lone surrogate, which is not valid text"
        )
    return value


def check_name(value: Any, field: str) -> str:
    """Return the name of something that only Toril names, such as a schedule, if it is valid.

    Raises:
        ValidationError: It is empty or too long, or contains a colon or a control character.
    """
    text = check_text(value, field)
    if ":" in text:
        raise ValidationError(field, f"{text!r} contains a colon, {_COLON}")
    if not text.isprintable():
        raise ValidationError(field, f"{text!r} contains unprintable characters; remove them")
    return text


def check_queue_name(value: Any) -> str:
    """Return a queue's name if BullMQ would accept it too: any text without a colon.

    Raises:
        ValidationError: It is empty or too long, or contains a colon or a lone surrogate.
    """
    text = check_text(value, "queue", MAX_NAME_LENGTH)
    if ":" in text:
        raise ValidationError("queue", f"{text!r} contains a colon, {_COLON}")
    return text


def check_prefix(value: Any) -> str:
    """Return a queue's prefix if BullMQ would accept it too: any text.

    Raises:
        ValidationError: It is empty or too long, contains a lone surrogate, or would mix up the
            queue's keys with Toril's own.
    """
    text = check_text(value, "prefix", MAX_NAME_LENGTH)
    if text.endswith(":") or "::toril" in text:
        raise ValidationError(
            "prefix", f"{text!r} ends with a colon or contains ::toril, like Toril's own keys"
        )
    return text


def check_job_id(value: Any) -> str:
    """Return a caller's job id if BullMQ would accept it too.

    Source: BullMQ, "Job Ids": no integers, no colon.

    Raises:
        ValidationError: The id is empty or too long, is an integer, contains a colon, or is the
            name of one of a queue's own keys.
    """
    check_text(value, "job_id")
    if ":" in value:
        raise ValidationError("job_id", f"{value!r} contains a colon, {_COLON}")
    if value.removeprefix("-").isdecimal() and str(int(value)) == value:
        raise ValidationError(
            "job_id",
            f"{value!r} is an integer, which BullMQ reserves for ids that it generates; "
            "add a prefix",
        )
    if value in RESERVED_IDS:
        raise ValidationError(
            "job_id", f"{value!r} is the name of one of the queue's own keys; add a prefix"
        )
    found: str = value
    return found
