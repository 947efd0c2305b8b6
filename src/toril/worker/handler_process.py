"""One process for handlers, as its worker sees it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from toril.errors import TorilError
from toril.queues.context import Reporter
from toril.worker.child import HEADER, Done, NotStarted, Progress, Ready, Reply, Run, Started
from toril.worker.child import frame as framed
from toril.worker.exit_watch import watch_exit
from toril.worker.shortage import NotStartedError
from toril.worker.shutdown import SIGNALS

# A supervisor may send the signals that stop a worker to all processes of its service. They are
# blocked until this program catches them, and does nothing: the worker handles them. They are
# caught and not ignored, because programs that a handler starts would ignore them too.
_PROGRAM = """
import signal, sys
numbers = (signal.SIGINT, signal.SIGTERM)
for number in numbers:
    signal.signal(number, lambda *_: None)
    signal.siginterrupt(number, False)
signal.pthread_sigmask(signal.SIG_UNBLOCK, numbers)
_, worker, *sys.path[:] = sys.argv
del sys.argv[1:]
from toril.worker.child import main
main(int(worker))
"""
_CHUNK = 1 << 16
_CLOSED_SECONDS = 0.5  # for a process to end after its connection did
_decoder = msgspec.json.Decoder(Reply)


class ProcessDiedError(TorilError):
    """The process that ran a handler ended before the handler returned."""


class _Job(NamedTuple):
    request: Run
    reporter: Reporter
    on_ready: Callable[[], None]
    done: asyncio.Future[Done]


class HandlerProcess(asyncio.Protocol):
    """A process in a session and process group of its own, which runs one job at a time.

    Attributes:
        exited: Resolves when the process has ended.
        jobs: How many jobs it has run.
    """

    def __init__(self, process: subprocess.Popen[bytes], connection: socket.socket) -> None:
        """Use a process that has been started; `start` does both."""
        loop = asyncio.get_running_loop()
        self._process = process
        self._socket = connection
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._started: asyncio.Future[None] = loop.create_future()
        self._job: _Job | None = None
        self._why = ""
        self.exited: asyncio.Future[None] = loop.create_future()
        self.jobs = 0

    @classmethod
    def spawn(cls) -> HandlerProcess:
        """Start a process. It can run jobs once `ready` returns.

        Raises:
            NotStartedError: The host lacks what it takes.
        """
        try:
            ours, theirs = socket.socketpair()
        except OSError as error:
            raise NotStartedError.because(error) from error
        try:
            with theirs:
                child = cls(_spawn(theirs), ours)
        except (OSError, subprocess.SubprocessError, MemoryError) as error:
            ours.close()
            raise NotStartedError.because(error) from error
        try:
            watch_exit(child._process, child._on_exit)
        except (OSError, RuntimeError, MemoryError) as error:
            child.kill()
            child._process.wait()  # it has been killed
            ours.close()
            raise NotStartedError.because(error) from error
        return child

    @property
    def pid(self) -> int:
        """The process's pid, which is also the id of its process group."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the process runs, as far as is known."""
        return self._transport is not None and not self.exited.done()

    async def ready(self) -> None:
        """Wait until the process can run jobs.

        Raises:
            NotStartedError: It ended before it could.
        """
        loop = asyncio.get_running_loop()
        try:
            await loop.create_unix_connection(lambda: self, sock=self._socket)
        except OSError as error:
            raise NotStartedError.because(error) from error
        await self._started

    async def run(self, request: Run, reporter: Reporter, on_ready: Callable[[], None]) -> Done:
        """Run a job; see `ProcessPool.run`."""
        self.jobs += 1
        if self._transport is None:
            await self.exited
            raise ProcessDiedError(self._obituary())
        done: asyncio.Future[Done] = asyncio.get_running_loop().create_future()
        self._job = _Job(request, reporter, on_ready, done)
        self._transport.write(framed(request))
        try:
            return await done
        finally:
            self._job = None

    def kill(self, why: str = "was ended by its worker") -> None:
        """Kill the process and all processes of its group, without waiting for their end.

        Args:
            why: What happened to the process, for the error of its job.
        """
        if self.exited.done():
            return
        self._why = self._why or why
        self._kill_group()

    def _kill_group(self) -> None:
        # The pid is the process's own until its exit code is fetched, and so is the group's id.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)

    # Called by the event loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        received = self._received
        received += data
        while len(received) >= HEADER:
            end = HEADER + int.from_bytes(received[:HEADER], "big")
            if len(received) < end:
                return
            reply = _decoder.decode(received[HEADER:end])
            del received[:end]
            self._on_reply(reply)

    def _on_reply(self, reply: Reply) -> None:
        job = self._job
        if isinstance(reply, Started):
            if not self._started.done():
                self._started.set_result(None)
        elif job is None or job.done.done():
            return  # a thread that the handler left behind reports on
        elif isinstance(reply, Done):
            job.done.set_result(reply)
        elif isinstance(reply, NotStarted):
            job.done.set_exception(NotStartedError(reply.why))
        elif isinstance(reply, Ready):
            job.on_ready()
        elif isinstance(reply, Progress):
            job.reporter.progress(job.request.lease, reply.progress_json)
        else:
            job.reporter.line(job.request.lease, reply.text)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's name
        self._transport = None
        # Without its connection, a process that goes on would never answer.
        why = "closed its connection to the worker"
        asyncio.get_running_loop().call_later(_CLOSED_SECONDS, self.kill, why)

    def _on_exit(self) -> None:
        self._kill_group()  # what it started ends with it
        self._process.poll()
        self._read_rest()
        self.exited.set_result(None)
        if not self._started.done():
            self._started.set_exception(
                NotStartedError(
                    f"{self._obituary()} before it could take a job. It says why on its standard "
                    "error; usually it lacked memory, files or threads"
                )
            )
            self._started.exception()  # nobody may be waiting any more
        if self._job is not None and not self._job.done.done():
            self._job.done.set_exception(ProcessDiedError(self._obituary()))
        if self._transport is None:
            self._socket.close()
        else:
            self._transport.abort()

    def _read_rest(self) -> None:
        """Read what the process wrote before it ended. Others may keep its connection open."""
        if self._transport is None or self._transport.is_closing():
            return
        self._transport.pause_reading()
        with contextlib.suppress(OSError):
            while data := self._socket.recv(_CHUNK):
                self.data_received(data)

    def _obituary(self) -> str:
        code = self._process.returncode
        if code == -signal.SIGKILL and self._why:
            return f"the handler's process {self._why}"
        if code is not None and code < 0:
            try:
                name = signal.Signals(-code).name
            except ValueError:
                name = f"signal {-code}"
            return f"the handler's process was killed by {name}"
        return f"the handler's process ended with exit code {code}"


def _spawn(connection: socket.socket) -> subprocess.Popen[bytes]:
    # The path is an argument, so that the process finds Toril where this one has found it.
    path = map(str, sys.path)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        return subprocess.Popen(  # noqa: S603 - nothing of it comes from a job
            [sys.executable, "-c", _PROGRAM, str(os.getpid()), *path],
            stdin=connection.fileno(),
            start_new_session=True,
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
