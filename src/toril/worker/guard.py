"""Kills what the processes of a worker have started, should the worker be killed.

A killed worker kills nothing any more, and the system ends its processes before they could do it.
So a small program knows their process groups, and waits for the end of the worker.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys

_PROGRAM = """
import os, select, signal, sys
for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
    signal.signal(number, signal.SIG_IGN)
worker, groups, text = int(sys.argv[1]), set(), b""
while os.getppid() == worker:  # a fork of the worker may hold the pipe
    if select.select([0], [], [], 1.0)[0]:
        received = os.read(0, 65536)
        if not received:
            break
        *lines, text = (text + received).split(b"\\n")
        for line in lines:
            (groups.add if line[:1] == b"+" else groups.discard)(int(line[1:]))
for group in groups:
    try:
        os.killpg(group, signal.SIGKILL)
    except OSError:
        pass
"""


class Guard:
    """The program, as the worker sees it."""

    def __init__(self) -> None:
        """Start the program.

        Raises:
            OSError: The system lacks what it takes.
        """
        self._process = subprocess.Popen(  # noqa: S603 - nothing of it comes from a job
            [sys.executable, "-I", "-S", "-c", _PROGRAM, str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
            bufsize=0,
        )

    def add(self, group: int) -> None:
        """Kill a process group when the worker ends."""
        self._tell(f"+{group}\n")

    def discard(self, group: int) -> None:
        """Leave a group alone, because its process has ended."""
        self._tell(f"-{group}\n")

    def close(self) -> None:
        """End the program, without killing any group."""
        self._process.kill()
        self._process.communicate()

    def _tell(self, line: str) -> None:
        pipe = self._process.stdin
        if pipe is not None:
            with contextlib.suppress(OSError):  # somebody has ended the program
                pipe.write(line.encode())
