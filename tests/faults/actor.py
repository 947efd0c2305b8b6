"""A process of a scenario, as the stage that started it sees it."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from pathlib import Path

PATIENCE = 60.0


class StuckError(Exception):
    """Something that a scenario waits for did not happen."""


class Actor:
    """A process of a scenario. It is ended by its own id."""

    def __init__(self, name: str, process: asyncio.subprocess.Process) -> None:
        self.name = name
        self.process = process

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def gone(self) -> bool:
        return self.process.returncode is not None

    def send(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)

    async def end(self, timeout: float = PATIENCE) -> int:
        """Wait until it has ended by itself; return its exit code."""
        try:
            return await asyncio.wait_for(self.process.wait(), timeout)
        except TimeoutError:
            raise StuckError(f"{self.name} did not end within {timeout:g} s") from None

    def is_stopped(self) -> bool:
        """Whether SIGSTOP holds it."""
        state = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state == "T"
