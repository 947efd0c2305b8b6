"""What a name, an id or a number must be, wherever one is given."""

from __future__ import annotations

from typing import Any

from toril.errors import ValidationError

MAX_ID_LENGTH = 255

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
"""The names of BullMQ's own keys: a job of that id would take the place of a queue's list."""


def is_integer(value: object) -> bool:
    """Whether a value is an integer, which True is only to Python."""
    return isinstance(value, int) and not isinstance(value, bool)


def check_integer(value: Any, field: str, least: int, most: int | None = None) -> int:
    """Return an integer that is within bounds.

    Args:
        value: What was given.
        field: The name to put into the error.
        least: The smallest that is allowed.
        most: The largest that is allowed; None is no limit.

    Raises:
        ValidationError: It is no integer, too small or too large.
    """
    if is_integer(value) and least <= value and (most is None or value <= most):
        found: int = value
        return found
    bounds = f"≥ {least}" if most is None else f"from {least} to {most}"
    raise ValidationError(field, f"must be an integer {bounds}, not {value!r}")


def check_text(value: Any, field: str, limit: int = MAX_ID_LENGTH) -> str:
    """Return text that is short enough to be a name or an id.

    Raises:
        ValidationError: It is not text, empty, too long, or has a lone surrogate.
    """
    if not isinstance(value, str) or not 0 < len(value) <= limit:
        raise ValidationError(field, f"{value!r} is not text of 1 to {limit} characters")
    if not value.isascii() and any("\ud800" <= c <= "\udfff" for c in value):
        raise ValidationError(field, f"{value!r} has a lone surrogate, which is no text")
    return value


def check_name(value: Any, field: str) -> str:
    """Return a queue's name or prefix if it can be one.

    Raises:
        ValidationError: It is empty, too long, or has a colon or a control character.
    """
    text = check_text(value, field)
    if ":" in text:
        raise ValidationError(field, f"{text!r} has a colon, which separates keys; use - or _")
    if not text.isprintable():
        raise ValidationError(field, f"{text!r} has characters that cannot be printed")
    return text


def check_job_id(value: Any) -> str:
    """Return a caller's job id if BullMQ would take it too.

    Source: BullMQ, "Job Ids": no integers, no colon.

    Raises:
        ValidationError: It is empty, too long, an integer, has a colon, or is the name of one
            of a queue's own keys.
    """
    check_text(value, "job_id")
    if ":" in value:
        raise ValidationError("job_id", f"{value!r} has a colon, which separates keys; use - or _")
    if value.removeprefix("-").isdecimal() and str(int(value)) == value:
        raise ValidationError(
            "job_id", f"{value!r} is an integer, which BullMQ gives itself; prefix it"
        )
    if value in RESERVED_IDS:
        raise ValidationError("job_id", f"{value!r} is the name of a queue's own key; prefix it")
    found: str = value
    return found
