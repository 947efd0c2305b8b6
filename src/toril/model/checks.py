"""What a name, an id or a number must be, wherever one is given."""

from __future__ import annotations

from typing import Any

from toril.errors import ValidationError

MAX_ID_LENGTH = 255


def is_integer(value: object) -> bool:
    """Whether a value is an integer, which True is only to Python."""
    return isinstance(value, int) and not isinstance(value, bool)


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
        ValidationError: It is empty, too long, an integer, or has a colon.
    """
    check_text(value, "job_id")
    if ":" in value:
        raise ValidationError("job_id", f"{value!r} has a colon, which separates keys; use - or _")
    if value.removeprefix("-").isdecimal() and str(int(value)) == value:
        raise ValidationError(
            "job_id", f"{value!r} is an integer, which BullMQ gives itself; prefix it"
        )
    found: str = value
    return found
