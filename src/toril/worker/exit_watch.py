"""Notices that a process has ended, even if another process still holds its pipes open."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import subprocess
import threading
from collections.abc import Callable

_NO_PIDFD = frozenset({errno.ENOSYS, errno.EPERM, errno.EINVAL})


def watch_exit(process: subprocess.Popen[bytes], exited: Callable[[], None]) -> None:
    """Call a function on the running event loop once a child process has ended.

    Args:
        process: The child. Nobody else may wait for it.
        exited: The function. It has to fetch the child's exit code.

    Raises:
        OSError: The system has no more files.
        RuntimeError: The system has no more threads.
    """
    loop = asyncio.get_running_loop()
    descriptor = _pidfd(process.pid)
    if descriptor is None:
        threading.Thread(
            target=_wait, args=(process, loop, exited), name="toril-exit", daemon=True
        ).start()
        return

    def on_readable() -> None:
        loop.remove_reader(descriptor)
        os.close(descriptor)
        exited()

    loop.add_reader(descriptor, on_readable)


def _pidfd(pid: int) -> int | None:
    """Return a descriptor that becomes readable when a process ends; None if there is none."""
    if not hasattr(os, "pidfd_open"):
        return None
    try:
        return os.pidfd_open(pid)
    except OSError as error:
        if error.errno in _NO_PIDFD:
            return None
        raise


def _wait(
    process: subprocess.Popen[bytes],
    loop: asyncio.AbstractEventLoop,
    exited: Callable[[], None],
) -> None:
    if hasattr(os, "waitid"):
        # The exit code is left for the event loop: until it is fetched, nobody else gets the pid.
        with contextlib.suppress(ChildProcessError):
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    else:
        process.wait()
    with contextlib.suppress(RuntimeError):  # the loop is closed
        loop.call_soon_threadsafe(exited)
