"""Points in a process's life at which it kills or stops itself, as it was asked to."""

from __future__ import annotations

import os
import signal
from typing import Literal

import msgspec

from tests.faults.ledger import Ledger, Reached

Point = Literal[
    "before-add",
    "after-add",
    "before-exchange",
    "after-exchange",
    "in-handler",
    "before-settlement",
    "after-settlement",
]
EXCHANGE: tuple[Point, ...] = (
    "before-exchange",
    "after-exchange",
    "in-handler",
    "before-settlement",
    "after-settlement",
)
"""The steps of one job's way through a worker, in their order."""


class Hook(msgspec.Struct, frozen=True):
    """At the `nth` time that a point is reached: end, or stop."""

    point: Point
    nth: int = 1
    stop: bool = False


class Faultpoint:
    """Counts how often each point is reached, and strikes."""

    def __init__(self, hook: Hook | None, ledger: Ledger) -> None:
        self._hook = hook
        self._ledger = ledger
        self._times = 0

    def reach(self, point: Point) -> None:
        hook = self._hook
        if hook is None or hook.point != point:
            return
        self._times += 1
        if self._times == hook.nth:
            self._ledger.write(Reached(point))
            os.kill(os.getpid(), signal.SIGSTOP if hook.stop else signal.SIGKILL)
