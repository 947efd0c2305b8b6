"""The program that runs process handlers: it takes jobs from its worker and replies.

Each message is a four-byte length followed by that many bytes of JSON, on the socket that is this
program's stdin. A handler's own output goes to stderr. When the socket closes, the worker is
gone, and this process and all that it has started end at once, even in the middle of a job.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import os
import resource
import socket
import sys
import threading
from pathlib import Path
from queue import SimpleQueue
from typing import Any, BinaryIO

import msgspec

from toril.model.job import Lease
from toril.model.outcome import Discarded, Errored, Forfeited, Released, Succeeded
from toril.queues.arguments import Arguments
from toril.queues.context import JobContext, set_current_job
from toril.queues.function_ref import FunctionRef, load
from toril.worker.handlers import Handler
from toril.worker.outcomes import of_error, of_result
from toril.worker.parent_death import end_group, end_with_parent
from toril.worker.script import loading
from toril.worker.shortage import advice_on

HEADER = 4  # bytes that hold a message's length


class Started(msgspec.Struct, tag="started", frozen=True):
    """The first message: this program can take jobs."""


class Ready(msgspec.Struct, tag="ready", frozen=True):
    """The handler has been imported; its timeout starts now."""


class NotStarted(msgspec.Struct, tag="not started", frozen=True):
    """The handler could not be imported, because this host lacks something.

    Attributes:
        why: What it lacks, and the fix.
    """

    why: str


class Run(msgspec.Struct, tag="run", frozen=True):
    """Run a job.

    Attributes:
        function: The function to call.
        lease: The job's lease.
        takes_context: Whether the job's context is the function's only argument.
        max_result: The largest allowed result, in bytes.
    """

    function: FunctionRef
    lease: Lease
    takes_context: bool
    max_result: int


class Progress(msgspec.Struct, tag="progress", frozen=True):
    """The handler reported progress."""

    progress_json: str


class Line(msgspec.Struct, tag="line", frozen=True):
    """The handler logged a line."""

    text: str


class Done(msgspec.Struct, tag="done", frozen=True):
    """The handler returned or raised.

    Attributes:
        outcome: The attempt's outcome.
        memory: How much memory this process uses now, in bytes.
    """

    outcome: Succeeded | Errored | Discarded | Released | Forfeited
    memory: int


Reply = Started | Ready | NotStarted | Progress | Line | Done


def frame(message: Any) -> bytes:
    """Encode a message with its length header."""
    body = msgspec.json.encode(message)
    return len(body).to_bytes(HEADER, "big") + body


class _Sender:
    """Writes replies, including the progress and log lines that a handler reports."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def send(self, reply: Reply) -> None:
        with self._lock:
            self._stream.write(frame(reply))
            self._stream.flush()

    def progress(self, _: Lease, progress_json: str) -> None:
        self.send(Progress(progress_json))

    def line(self, _: Lease, text: str) -> None:
        self.send(Line(text))


def main(worker: int) -> None:
    """Run jobs until the worker is gone.

    Args:
        worker: The worker's pid.
    """
    end_with_parent(worker)
    connection = socket.socket(fileno=os.dup(0))
    with contextlib.suppress(OSError):
        os.dup2(2, 1)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    requests: SimpleQueue[Run] = SimpleQueue()
    incoming = connection.makefile("rb")
    threading.Thread(target=_read, args=(incoming, requests), daemon=True).start()
    sender = _Sender(connection.makefile("wb"))
    sender.send(Started())
    while True:
        sender.send(_run(requests.get(), sender))


def _read(stream: BinaryIO, requests: SimpleQueue[Run]) -> None:
    decoder = msgspec.json.Decoder(Run)
    with contextlib.suppress(OSError):
        while header := stream.read(HEADER):
            requests.put(decoder.decode(stream.read(int.from_bytes(header, "big"))))
    end_group()  # the worker is gone: a job must not run on without a lease


def _run(request: Run, sender: _Sender) -> Reply:
    lease = request.lease
    try:
        with loading():
            handler = _handler(request)
    except BaseException as error:  # noqa: BLE001 - a module may raise anything
        advice = advice_on(error)
        if advice is not None:
            return NotStarted(advice)
        return Done(of_error(lease, error), _memory())
    try:
        sender.send(Ready())
        context = JobContext(lease, sender)
        set_current_job(context)
        result = handler.call(context)
        if inspect.iscoroutine(result):
            result = asyncio.run(result)
        return Done(of_result(lease, result, request.max_result), _memory())
    except BaseException as error:  # noqa: BLE001 - anything a handler raises is an outcome
        return Done(of_error(lease, error), _memory())


_handlers: dict[FunctionRef, Handler] = {}


def _handler(request: Run) -> Handler:
    if request.function not in _handlers:
        function = load(request.function)
        arguments = None if request.takes_context else Arguments(function, request.lease.name)
        _handlers[request.function] = Handler(function, "thread", arguments, None)
    return _handlers[request.function]


def _memory() -> int:
    """Return how much memory this process uses now; elsewhere than on Linux, at its peak."""
    try:
        pages = int(Path("/proc/self/statm").read_bytes().split()[1])
        return pages * resource.getpagesize()
    except (OSError, ValueError):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
