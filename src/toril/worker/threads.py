"""Threads for sync handlers, which do not keep the program from exiting."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, TypeAlias, TypeVar

from toril.worker.shortage import NotStartedError

R = TypeVar("R")

_Work: TypeAlias = tuple["Future[Any]", Callable[[], Any]]


class Threads:
    """A pool of daemon threads.

    The standard library's pool joins its threads when the interpreter exits. A handler that does
    not return would then keep a worker alive that got two stop signals, while another worker
    already runs the job.
    """

    def __init__(self, size: int) -> None:
        """Create an empty pool.

        Args:
            size: The maximum number of threads; each is started when it is first needed.
        """
        self._size = size
        self._idle = 0
        self._started = 0
        self._lock = threading.Lock()
        self._work: SimpleQueue[_Work | None] = SimpleQueue()

    def submit(self, call: Callable[[], R]) -> Future[R]:
        """Call a function in a thread.

        Args:
            call: The function.

        Raises:
            NotStartedError: The system has no thread for it. The function will not be called.
        """
        future: Future[R] = Future()
        with self._lock:
            if self._idle:
                self._idle -= 1
            elif self._started < self._size:
                self._start()
        self._work.put((future, call))
        return future

    def _start(self) -> None:
        name = f"toril-job-{self._started + 1}"
        try:
            threading.Thread(target=self._run, name=name, daemon=True).start()
        except (RuntimeError, MemoryError, OSError) as error:
            raise NotStartedError.because(error) from error
        self._started += 1

    def close(self) -> None:
        """Cancel calls that have not started, and end each thread after its current call."""
        while not self._work.empty():
            work = self._work.get_nowait()
            if work is not None:
                work[0].cancel()
        for _ in range(self._started):
            self._work.put(None)

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            future, call = work
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(call())
                except BaseException as error:  # noqa: BLE001 - the caller receives it
                    future.set_exception(error)
            del work, future, call  # an idle thread must not keep objects alive
            with self._lock:
                self._idle += 1
