"""The results of examining a store."""

from __future__ import annotations

from typing import Literal

import msgspec


class Finding(msgspec.Struct, frozen=True):
    """One result of an examination.

    Attributes:
        level: "ok", "warning" or "error".
        check: What was checked.
        message: What was found, and how to fix it.
    """

    level: Literal["ok", "warning", "error"]
    check: str
    message: str
