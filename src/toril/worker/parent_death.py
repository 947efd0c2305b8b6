"""Ends a process, with all that it has started, when the process that started it is gone."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import threading
import time

_PR_SET_PDEATHSIG = 1
_LOOK_SECONDS = 1.0


def end_with_parent(parent: int) -> None:
    """Let the system kill this process when its parent ends, even while it holds the GIL.

    On Linux the signal comes when the parent's *thread* that started this process ends. A worker
    starts its processes in the thread of its event loop.

    Args:
        parent: The parent's pid.
    """
    if not _kill_with_parent():
        threading.Thread(target=_watch, args=(parent,), name="toril-parent", daemon=True).start()
    if os.getppid() != parent:  # it ended before it could be asked for
        end_group()


def end_group() -> None:
    """Kill this process and its process group."""
    with contextlib.suppress(OSError):
        if os.getpgrp() == os.getpid():  # else the group is not this process's own
            os.killpg(0, signal.SIGKILL)
    os._exit(1)


def _kill_with_parent() -> bool:
    """Ask Linux for a signal at the parent's end; return whether it will come."""
    try:
        refused: int = ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    except (OSError, AttributeError, TypeError):  # another system
        return False
    return not refused


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_LOOK_SECONDS)
    end_group()
