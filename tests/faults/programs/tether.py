"""A program ends when the stage that started it has gone, however that came about."""

from __future__ import annotations

import os
import sys
import threading


def tie_to_stage() -> None:
    """End this process when its stdin ends: the stage holds the other end."""
    threading.Thread(target=_wait, name="tether", daemon=True).start()


def _wait() -> None:
    while os.read(sys.stdin.fileno(), 1):
        pass
    os._exit(1)
