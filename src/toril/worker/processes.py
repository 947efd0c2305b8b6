"""Runs handlers in separate processes, so that they can use a CPU, crash, or be killed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from toril.model.outcome import Outcome
from toril.queues.context import Reporter
from toril.worker.child import Done, Run
from toril.worker.guard import Guard
from toril.worker.handler_process import HandlerProcess, ProcessDiedError
from toril.worker.shortage import NotStartedError

__all__ = ["ProcessDiedError", "ProcessPool"]

_logger = logging.getLogger("toril.worker")

_END_SECONDS = 5.0  # for a killed process to end; one that waits for a dead disk does not


class ProcessPool:
    """A pool of child processes, which are started when needed and then reused."""

    def __init__(
        self, size: int, *, max_jobs: int | None = None, max_memory: int | None = None
    ) -> None:
        """Create an empty pool.

        Args:
            size: The maximum number of processes in use at once.
            max_jobs: How many jobs a process runs before another replaces it; None means no limit.
            max_memory: How much memory a process may keep after a job before another replaces it,
                in bytes; None means no limit.
        """
        self._free = asyncio.Semaphore(size)
        self._max_jobs = max_jobs
        self._max_memory = max_memory
        self._idle: list[HandlerProcess] = []
        self._running: set[HandlerProcess] = set()
        self._guard: Guard | None = None

    async def acquire(self) -> None:
        """Wait until a process is available."""
        await self._free.acquire()

    def release(self) -> None:
        """Make the process that `acquire` reserved available to another job."""
        self._free.release()

    async def run(
        self,
        request: Run,
        reporter: Reporter,
        on_ready: Callable[[], None],
    ) -> Outcome:
        """Run a job in a process. Cancelling this call kills the process and what it started.

        Args:
            request: The job and its function.
            reporter: Receives the handler's progress and log lines.
            on_ready: Called when the handler starts; starting a process takes time itself.

        Returns:
            The outcome.

        Raises:
            ProcessDiedError: The process ended before the handler returned.
            NotStartedError: This host lacks what it takes to start the handler.
        """
        process = self._reuse() or self._start()
        try:
            if not process.jobs:
                await process.ready()
            done = await process.run(request, reporter, on_ready)
        except BaseException:
            process.kill()
            raise
        if self._is_worn(process, done):
            process.kill()
        else:
            self._idle.append(process)
        return done.outcome

    async def close(self) -> None:
        """Kill all processes and what they started."""
        running = list(self._running)
        for process in running:
            process.kill()
        self._idle.clear()
        if running:
            _, left = await asyncio.wait([p.exited for p in running], timeout=_END_SECONDS)
            if left:
                _logger.error("%d processes of handlers were killed but have not ended", len(left))
        if self._guard is not None:
            self._guard.close()
            self._guard = None

    def _reuse(self) -> HandlerProcess | None:
        while self._idle:
            process = self._idle.pop()
            if process.alive:
                return process
        return None

    def _start(self) -> HandlerProcess:
        if self._guard is None:
            try:
                self._guard = Guard()
            except OSError as error:
                raise NotStartedError.because(error) from error
        process = HandlerProcess.spawn()
        self._running.add(process)
        self._guard.add(process.pid)
        process.exited.add_done_callback(lambda _: self._ended(process))
        return process

    def _ended(self, process: HandlerProcess) -> None:
        self._running.discard(process)
        if self._guard is not None:
            self._guard.discard(process.pid)

    def _is_worn(self, process: HandlerProcess, done: Done) -> bool:
        """Whether a process has reached a limit and must be replaced."""
        if self._max_jobs is not None and process.jobs >= self._max_jobs:
            return True
        return self._max_memory is not None and done.memory > self._max_memory
