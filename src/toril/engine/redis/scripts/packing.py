"""JSON for the scripts."""

from __future__ import annotations

from typing import Any

import msgspec

_encode = msgspec.json.Encoder().encode


def as_json(value: Any) -> str:
    """Return a value as JSON."""
    return _encode(value).decode()
