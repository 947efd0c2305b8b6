"""For code without an event loop: the same calls, run on a loop in a thread of its own."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

from toril.errors import ConfigurationError
from toril.model.durations import Duration
from toril.model.job import Job
from toril.model.options import Priority
from toril.model.state import JobState
from toril.queues.handle import JobHandle
from toril.queues.queue import Queue

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S")


class LoopThread:
    """An event loop in a daemon thread, started when it is first needed."""

    def __init__(self) -> None:
        """Prepare."""
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def run(self, coroutine: Coroutine[Any, Any, R]) -> R:
        """Run a coroutine there and return its result here.

        Raises:
            ConfigurationError: The calling thread runs an event loop, which would stand still.
        """
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            pass
        else:
            coroutine.close()
            raise ConfigurationError(
                "this thread runs an event loop: await the manager's own method instead"
            )
        return asyncio.run_coroutine_threadsafe(coroutine, self._started()).result()

    @property
    def is_current(self) -> bool:
        """Whether the caller runs in this thread."""
        return threading.current_thread() is self._thread

    def close(self) -> None:
        """Stop the loop and end the thread."""
        with self._lock:
            loop, thread = self._loop, self._thread
            self._loop = self._thread = None
        if loop is not None and thread is not None:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()

    def _started(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(
                    target=_run_loop, args=(self._loop,), name="toril-sync", daemon=True
                )
                self._thread.start()
            return self._loop


def _run_loop(loop: asyncio.AbstractEventLoop) -> None:
    """Run a loop until it is stopped; cancel what is left, so that nothing is left pending."""
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_default_executor())
    finally:
        loop.close()


class SyncJobHandle(Generic[R]):
    """A hold on one job, for code without an event loop; see `JobHandle`."""

    def __init__(self, handle: JobHandle[R], thread: LoopThread) -> None:
        """Wrap a handle.

        Args:
            handle: The handle.
            thread: Where its coroutines run.
        """
        self._handle = handle
        self._thread = thread

    def __repr__(self) -> str:
        return f"<Sync{repr(self._handle)[1:]}"

    @property
    def id(self) -> str:
        """The job's id."""
        return self._handle.id

    @property
    def created(self) -> bool:
        """False if the call found a job that was there already."""
        return self._handle.created

    @property
    def fallback(self) -> bool:
        """Whether the job went to a local spool because the main store was away."""
        return self._handle.fallback

    @property
    def stored_in(self) -> str:
        """Where the job is stored, without a password."""
        return self._handle.stored_in

    def job(self) -> Job:
        """Return the job as it is now."""
        return self._thread.run(self._handle.job())

    def state(self) -> JobState:
        """Return the job's state."""
        return self._thread.run(self._handle.state())

    def progress(self) -> Any:
        """Return what the job's handler last reported."""
        return self._thread.run(self._handle.progress())

    def logs(self, *, start: int = 0, limit: int = 1000) -> list[str]:
        """Return lines of the job's log."""
        return self._thread.run(self._handle.logs(start=start, limit=limit))

    def result(self, timeout: Duration | None = None) -> R:
        """Wait until the job has ended, and return what its handler returned."""
        return self._thread.run(self._handle.result(timeout))

    def cancel(self) -> None:
        """Fail the job if it waits; ask its handler to stop if it runs."""
        self._thread.run(self._handle.cancel())

    def retry(self) -> None:
        """Run the job again, with all its attempts."""
        self._thread.run(self._handle.retry())

    def promote(self) -> None:
        """Let a delayed job run now."""
        self._thread.run(self._handle.promote())

    def remove(self) -> None:
        """Remove the job."""
        self._thread.run(self._handle.remove())

    def change_priority(self, priority: Priority | int | str) -> None:
        """Give the job another priority while it has not started."""
        self._thread.run(self._handle.change_priority(priority))

    def change_delay(self, delay: Duration) -> None:
        """Let the job wait for a time from now while it has not started."""
        self._thread.run(self._handle.change_delay(delay))

    def change_data(self, data: Any) -> None:
        """Give the job another payload."""
        self._thread.run(self._handle.change_data(data))


class _HasThread:
    """What a method made by `blocking` needs of its class."""

    _thread: LoopThread
    _target: Any


def blocking(
    method: Callable[Concatenate[S, P], Coroutine[Any, Any, R]],
) -> Callable[Concatenate[_HasThread, P], R]:
    """Return a method that runs another class's coroutine method, with its signature.

    Args:
        method: The coroutine method of the class that the facade stands for.
    """

    @wraps(method)
    def call(self: _HasThread, /, *args: P.args, **kwargs: P.kwargs) -> R:
        thread, target = self._thread, self._target
        return thread.run(method(target, *args, **kwargs))

    return call


def blocking_handle(
    method: Callable[Concatenate[S, P], Coroutine[Any, Any, JobHandle[R]]],
) -> Callable[Concatenate[_HasThread, P], SyncJobHandle[R]]:
    """Do as `blocking` for a method that returns a handle.

    Args:
        method: The coroutine method.
    """

    @wraps(method)
    def call(self: _HasThread, /, *args: P.args, **kwargs: P.kwargs) -> SyncJobHandle[R]:
        thread, target = self._thread, self._target
        return SyncJobHandle(thread.run(method(target, *args, **kwargs)), thread)

    _show_handles(call, method)
    return call


def blocking_handles(
    method: Callable[Concatenate[S, P], Coroutine[Any, Any, list[JobHandle[R]]]],
) -> Callable[Concatenate[_HasThread, P], list[SyncJobHandle[R]]]:
    """Do as `blocking` for a method that returns handles.

    Args:
        method: The coroutine method.
    """

    @wraps(method)
    def call(self: _HasThread, /, *args: P.args, **kwargs: P.kwargs) -> list[SyncJobHandle[R]]:
        thread, target = self._thread, self._target
        handles = thread.run(method(target, *args, **kwargs))
        return [SyncJobHandle(handle, thread) for handle in handles]

    _show_handles(call, method)
    return call


def _show_handles(call: Callable[..., Any], method: Callable[..., Any]) -> None:
    """Give a call the method's signature, with the handles that it returns itself."""
    signature = inspect.signature(method)
    returned = str(signature.return_annotation).replace("JobHandle", "SyncJobHandle")
    vars(call)["__signature__"] = signature.replace(return_annotation=returned)


class SyncFacade(_HasThread):
    """The root of facades: a target whose coroutine methods run in a thread.

    `_target` is what is faced, `_thread` where its coroutines run.
    """

    def __init__(self, target: Any, thread: LoopThread) -> None:
        """Face a target.

        Args:
            target: The object with the coroutine methods.
            thread: Where they run.
        """
        self._target = target
        self._thread = thread


class SyncQueue(SyncFacade):
    """A queue, for code without an event loop; see `Queue`."""

    pause = blocking(Queue.pause)
    resume = blocking(Queue.resume)
    clear_limits = blocking(Queue.clear_limits)
    drain = blocking(Queue.drain)
    clean = blocking(Queue.clean)
    obliterate = blocking(Queue.obliterate)
    get = blocking(Queue.get)
    jobs = blocking(Queue.jobs)
    counts = blocking(Queue.counts)
    metrics = blocking(Queue.metrics)
    retry_jobs = blocking(Queue.retry_jobs)
    promote_jobs = blocking(Queue.promote_jobs)
    cancel_jobs = blocking(Queue.cancel_jobs)
    remove_jobs = blocking(Queue.remove_jobs)

    info = blocking(Queue.info)
    add = blocking_handle(Queue.add)
    add_bulk = blocking_handles(Queue.add_bulk)

    def handle(self, job_id: str) -> SyncJobHandle[Any]:
        """Return a handle on a job by its id."""
        queue: Queue = self._target
        return SyncJobHandle(queue.handle(job_id), self._thread)
