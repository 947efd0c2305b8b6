"""The program that runs process handlers: it reads jobs from stdin and replies on stdout.

Each message is a four-byte length followed by that many bytes of JSON. A handler's own output
goes to stderr. When stdin closes, the worker is gone, and this process exits at once, even in
the middle of a job.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import inspect
import os
import runpy
import sys
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, BinaryIO

import msgspec

from toril.model.job import Lease
from toril.model.outcome import Discarded, Errored, Forfeited, Released, Succeeded
from toril.queues.arguments import Arguments
from toril.queues.context import JobContext, set_current_job
from toril.worker.handlers import FunctionRef, Handler
from toril.worker.outcomes import of_error, of_result

HEADER = 4  # bytes that hold a message's length


class Hello(msgspec.Struct, tag="hello", frozen=True):
    """The first message: sets up imports in the child.

    Attributes:
        path: The worker's `sys.path`.
    """

    path: list[str]


class Ready(msgspec.Struct, tag="ready", frozen=True):
    """The handler has been imported; its timeout starts now."""


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
    """

    outcome: Succeeded | Errored | Discarded | Released | Forfeited


Request = Hello | Run
Reply = Ready | Progress | Line | Done


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


def main() -> None:
    """Run jobs until stdin closes."""
    incoming = os.fdopen(os.dup(0), "rb")
    outgoing = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    requests: SimpleQueue[Request] = SimpleQueue()
    threading.Thread(target=_read, args=(incoming, requests), daemon=True).start()
    sender = _Sender(outgoing)
    while True:
        match requests.get():
            case Hello(path):
                sys.path[:] = path
            case Run() as request:
                sender.send(_run(request, sender))


def _read(stream: BinaryIO, requests: SimpleQueue[Request]) -> None:
    decoder = msgspec.json.Decoder(Request)
    while header := stream.read(HEADER):
        requests.put(decoder.decode(stream.read(int.from_bytes(header, "big"))))
    os._exit(1)  # the worker is gone: a job must not run on without a lease


def _run(request: Run, sender: _Sender) -> Reply:
    lease = request.lease
    try:
        handler = _handler(request)
        sender.send(Ready())
        context = JobContext(lease, sender)
        set_current_job(context)
        result = handler.call(context)
        if inspect.iscoroutine(result):
            result = asyncio.run(result)
        return Done(of_result(lease, result, request.max_result))
    except BaseException as error:  # noqa: BLE001 - anything a handler raises is an outcome
        return Done(of_error(lease, error))


_handlers: dict[FunctionRef, Handler] = {}


def _handler(request: Run) -> Handler:
    if request.function not in _handlers:
        function = _load(request.function)
        arguments = None if request.takes_context else Arguments(function, request.lease.name)
        _handlers[request.function] = Handler(function, "thread", arguments, None)
    return _handlers[request.function]


def _load(reference: FunctionRef) -> Callable[..., Any]:
    if reference.main_path is not None:
        found: Any = runpy.run_path(reference.main_path, run_name="__toril_child__")
        first, *rest = reference.qualname.split(".")
        found = found[first]
    else:
        found = importlib.import_module(reference.module)
        rest = reference.qualname.split(".")
    for name in rest:
        found = getattr(found, name)
    # A decorated function's name refers to its task or processor.
    function: Callable[..., Any] = getattr(found, "function", found)
    return function
