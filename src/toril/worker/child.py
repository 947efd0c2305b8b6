"""The program that runs process handlers: reads jobs on stdin, answers on stdout.

Each message is four bytes of length and as many of JSON. What a handler prints goes to
stderr. When stdin ends the worker is gone, and so is this process, whatever it is doing.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import inspect
import os
import runpy
import signal
import sys
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, BinaryIO

import msgspec

from toril.model import codec
from toril.model.job import Lease
from toril.model.outcome import OutcomeSignal, Retry, Snooze, is_signal
from toril.queues.arguments import Arguments
from toril.queues.context import JobContext, set_current_job
from toril.worker.failures import message_of, signal_of, stack_of
from toril.worker.handlers import FunctionRef, Handler

HEADER = 4  # bytes of a message's length
MAX_RESULT = codec.MAX_BYTES


class Hello(msgspec.Struct, tag="hello", frozen=True):
    """The first message: what the child's imports need.

    Attributes:
        path: The worker's `sys.path`.
    """

    path: list[str]


class Run(msgspec.Struct, tag="run", frozen=True):
    """Run a job.

    Attributes:
        function: What runs it.
        lease: The job.
        takes_context: The function takes the job's context alone.
    """

    function: FunctionRef
    lease: Lease
    takes_context: bool


class Progress(msgspec.Struct, tag="progress", frozen=True):
    """The handler reports how far it is."""

    progress_json: str


class Line(msgspec.Struct, tag="line", frozen=True):
    """The handler logs a line."""

    text: str


class Done(msgspec.Struct, tag="done", frozen=True):
    """The handler returned."""

    result_json: str | None


class Failed(msgspec.Struct, tag="failed", frozen=True):
    """The handler raised.

    Attributes:
        kind: The exception's class name.
        message: Its message.
        stack: Its traceback.
        signal: The class name of the outcome that it asked for, if it did.
        wait_ms: How long that outcome wants to wait.
    """

    kind: str
    message: str
    stack: str
    signal: str | None = None
    wait_ms: int | None = None


Request = Hello | Run
Reply = Progress | Line | Done | Failed


def frame(message: Any) -> bytes:
    """Return a message as it is sent."""
    body = msgspec.json.encode(message)
    return len(body).to_bytes(HEADER, "big") + body


class _Sender:
    """Writes replies; the context's reports among them."""

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
    """Serve until stdin ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the worker's to answer
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
    os._exit(1)  # the worker is gone: what runs must not go on unheld


def _run(request: Run, sender: _Sender) -> Reply:
    try:
        context = JobContext(request.lease, sender)
        set_current_job(context)
        result = _handler(request).call(context)
        if inspect.iscoroutine(result):
            result = asyncio.run(result)
        if is_signal(result):
            raise result  # noqa: TRY301 - returned or raised, it means the same
        return Done(None if result is None else codec.encode(result, "result", MAX_RESULT))
    except (KeyboardInterrupt, SystemExit) as error:
        return _failed(error)
    except Exception as error:  # noqa: BLE001 - whatever a handler raises is an answer
        return _failed(error)


def _failed(error: BaseException) -> Failed:
    asked = signal_of(error)
    return Failed(
        type(error).__name__,
        message_of(error),
        stack_of(error),
        None if asked is None else type(asked).__name__,
        _wait_of(asked),
    )


def _wait_of(asked: OutcomeSignal | None) -> int | None:
    match asked:
        case Retry():
            return asked.after_ms
        case Snooze():
            return asked.delay_ms
        case _:
            return None


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
    # A decorated function's name stands for its task or processor.
    function: Callable[..., Any] = getattr(found, "function", found)
    return function
