"""What processes wait for and wake one another for."""

from __future__ import annotations

from enum import StrEnum


class Topic(StrEnum):
    """What a waiter can wait for."""

    WORK = "work"
    EVENT = "event"
