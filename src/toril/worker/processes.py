"""Runs handlers in separate processes, so that they can use a CPU, crash, or be killed."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable

import msgspec

from toril.errors import TorilError
from toril.model.outcome import Outcome
from toril.queues.context import Reporter
from toril.worker.child import HEADER, Done, Hello, Line, Progress, Ready, Reply, Run, frame

# Ignore signals sent to the whole process group from the start: the worker handles them.
_PROGRAM = """
import signal
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, signal.SIG_IGN)
from toril.worker.child import main
main()
"""
_decoder = msgspec.json.Decoder(Reply)


class ProcessDiedError(TorilError):
    """The process that ran a handler ended before the handler returned."""


class _Child:
    """A child process that runs one job at a time."""

    def __init__(self, process: Process) -> None:
        assert process.stdin is not None  # noqa: S101 - both were requested as pipes
        assert process.stdout is not None  # noqa: S101
        self._process = process
        self._stdin = process.stdin
        self._stdout = process.stdout

    @classmethod
    async def start(cls) -> _Child:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", _PROGRAM, stdin=PIPE, stdout=PIPE, start_new_session=True
        )
        child = cls(process)
        child._stdin.write(frame(Hello(sys.path)))
        return child

    @property
    def alive(self) -> bool:
        return self._process.returncode is None

    async def run(self, request: Run, reporter: Reporter, on_ready: Callable[[], None]) -> Outcome:
        """Run a job and return its outcome."""
        try:
            self._stdin.write(frame(request))
            await self._stdin.drain()
            while True:
                match await self._read():
                    case Done(outcome):
                        return outcome
                    case Ready():
                        on_ready()
                    case Progress(progress_json):
                        reporter.progress(request.lease, progress_json)
                    case Line(text):
                        reporter.line(request.lease, text)
        except (asyncio.IncompleteReadError, ConnectionError):
            await self._process.wait()
            raise ProcessDiedError(_exit_message(self._process.returncode)) from None

    async def _read(self) -> Reply:
        header = await self._stdout.readexactly(HEADER)
        body = await self._stdout.readexactly(int.from_bytes(header, "big"))
        reply: Reply = _decoder.decode(body)
        return reply

    async def end(self) -> None:
        """Kill the process and wait until it has exited."""
        if self.alive:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
        self._stdin.close()
        await self._process.wait()


def _exit_message(returncode: int | None) -> str:
    if returncode is not None and returncode < 0:
        try:
            name = signal.Signals(-returncode).name
        except ValueError:
            name = f"signal {-returncode}"
        return f"the handler's process was killed by {name}"
    return f"the handler's process ended with exit code {returncode}"


class ProcessPool:
    """A pool of child processes, which are started when needed and then reused."""

    def __init__(self, size: int) -> None:
        """Create an empty pool.

        Args:
            size: The maximum number of processes in use at once.
        """
        self._free = asyncio.Semaphore(size)
        self._idle: list[_Child] = []
        self._busy: set[_Child] = set()
        self._ends: set[asyncio.Task[None]] = set()

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
        """Run a job in a process. Cancelling this call kills the process.

        Args:
            request: The job and its function.
            reporter: Receives the handler's progress and log lines.
            on_ready: Called when the handler starts; starting a process takes time itself.

        Returns:
            The outcome.

        Raises:
            ProcessDiedError: The process ended before the handler returned.
        """
        child = await self._checkout()
        try:
            outcome = await child.run(request, reporter, on_ready)
        except BaseException:
            self._end(child)
            raise
        self._checkin(child)
        return outcome

    async def close(self) -> None:
        """Kill all processes."""
        for child in (*self._idle, *self._busy):
            self._end(child)
        self._idle.clear()
        await asyncio.gather(*self._ends)

    async def _checkout(self) -> _Child:
        child = None
        while self._idle and child is None:
            child = self._idle.pop()
            if not child.alive:
                self._end(child)
                child = None
        if child is None:
            child = await _Child.start()
        self._busy.add(child)
        return child

    def _checkin(self, child: _Child) -> None:
        self._busy.discard(child)
        self._idle.append(child)

    def _end(self, child: _Child) -> None:
        self._busy.discard(child)
        task = asyncio.create_task(child.end())
        self._ends.add(task)
        task.add_done_callback(self._ends.discard)
