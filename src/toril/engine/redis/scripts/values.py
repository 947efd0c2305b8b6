"""Reading numbers that any program may have written."""

from __future__ import annotations

from toril.model.codec import MAX_SAFE_INTEGER


def whole(value: str | int | None) -> int:
    """Return a number as a whole one; 0 if it is none, is negative, or exceeds 2^53 - 1.

    JavaScript writes fractions where BullMQ expects none, for example as a job's timestamp.

    Args:
        value: The number as Redis returns it.
    """
    try:
        found = int(value or 0)
    except ValueError:
        found = _rounded(str(value))
    return found if 0 <= found <= MAX_SAFE_INTEGER else 0


def _rounded(text: str) -> int:
    try:
        return int(float(text))
    except (ValueError, OverflowError):
        return 0
