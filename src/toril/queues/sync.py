"""The synchronous API: the same calls, run on an event loop in a separate thread."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError, Future
from functools import wraps
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

from toril.errors import ConfigurationError, StoreUnavailableError
from toril.forks import ForkAware, leave_behind, watch_forks
from toril.model.durations import Duration
from toril.model.job import Job
from toril.model.options import Priority
from toril.model.state import JobState
from toril.queues.handle import JobHandle
from toril.queues.queue import Queue

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S")


class LoopThread(ForkAware):
    """An event loop in a daemon thread, started when it is first needed."""

    def __init__(self) -> None:
        """Create a loop thread that has not started."""
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        watch_forks(self)

    def run(self, coroutine: Coroutine[Any, Any, R]) -> R:
        """Run a coroutine on the loop, wait for it, and return its result.

        Raises:
            ConfigurationError: The calling thread runs an event loop, which would block.
            StoreUnavailableError: The loop was closed meanwhile, or cannot be started.
        """
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            pass
        else:
            coroutine.close()
            raise ConfigurationError(
                "this thread runs an event loop: await the manager's async method instead"
            )
        future = self._submit(coroutine)
        try:
            return future.result()
        except CancelledError:  # only the end of the loop cancels what it runs
            raise StoreUnavailableError(
                "the manager was closed during this call; open it again with `manager.sync.open()`"
            ) from None

    @property
    def is_current(self) -> bool:
        """Whether the caller is running in this thread."""
        return threading.current_thread() is self._thread

    def close(self) -> None:
        """Stop the loop and end the thread."""
        with self._lock:
            loop, thread = self._loop, self._thread
            self._loop = self._thread = None
            if loop is not None:
                loop.call_soon_threadsafe(loop.stop)
        if thread is not None:
            thread.join()

    def start_over(self) -> None:
        leave_behind(self._loop, self._thread)
        self._lock = threading.Lock()
        self._loop = self._thread = None

    def _submit(self, coroutine: Coroutine[Any, Any, R]) -> Future[R]:
        with self._lock:  # nothing may be submitted to a loop after it was told to stop
            try:
                loop = self._loop or self._start()
            except (OSError, RuntimeError) as error:
                coroutine.close()
                raise StoreUnavailableError(
                    f"the system lacks files or threads for an event loop: {error}"
                ) from error
            return asyncio.run_coroutine_threadsafe(coroutine, loop)

    def _start(self) -> asyncio.AbstractEventLoop:
        """Start the loop and its thread, or neither."""
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=_run_loop, args=(loop,), name="toril-sync", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            loop.close()
            raise
        self._loop, self._thread = loop, thread
        return loop


def _run_loop(loop: asyncio.AbstractEventLoop) -> None:
    """Run a loop until it is stopped, then cancel and await the remaining tasks."""
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
        remaining = asyncio.all_tasks(loop)
        for task in remaining:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*remaining, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_default_executor())
    finally:
        loop.close()


class SyncJobHandle(Generic[R]):
    """A handle on a job for code without an event loop; see `JobHandle`."""

    def __init__(self, handle: JobHandle[R], thread: LoopThread) -> None:
        """Wrap a handle.

        Args:
            handle: The handle.
            thread: Runs the handle's coroutines.
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
        """False if the job already existed."""
        return self._handle.created

    @property
    def fallback(self) -> bool:
        """Whether the job went to a local spool because the main store was unavailable."""
        return self._handle.fallback

    @property
    def stored_in(self) -> str:
        """The location of the store that has the job."""
        return self._handle.stored_in

    def job(self) -> Job:
        """Return the job as it is now."""
        return self._thread.run(self._handle.job())

    def state(self) -> JobState:
        """Return the job's state."""
        return self._thread.run(self._handle.state())

    def progress(self) -> Any:
        """Return the progress that the handler last reported."""
        return self._thread.run(self._handle.progress())

    def logs(self, *, start: int = 0, limit: int = 1000) -> list[str]:
        """Return lines of the job's log."""
        return self._thread.run(self._handle.logs(start=start, limit=limit))

    def result(self, timeout: Duration | None = None) -> R:
        """Wait until the job has finished, and return its result."""
        return self._thread.run(self._handle.result(timeout))

    def cancel(self) -> None:
        """Cancel the job: it fails if it has not started; if it runs, its handler is stopped."""
        self._thread.run(self._handle.cancel())

    def retry(self) -> None:
        """Run the job again, with all of its attempts."""
        self._thread.run(self._handle.retry())

    def promote(self) -> None:
        """Make a delayed job ready now."""
        self._thread.run(self._handle.promote())

    def remove(self) -> None:
        """Remove the job."""
        self._thread.run(self._handle.remove())

    def change_priority(self, priority: Priority | int | str) -> None:
        """Change the job's priority. The job must not have started."""
        self._thread.run(self._handle.change_priority(priority))

    def change_delay(self, delay: Duration) -> None:
        """Change the job's delay. The job must not have started."""
        self._thread.run(self._handle.change_delay(delay))

    def change_data(self, data: Any) -> None:
        """Change the job's payload."""
        self._thread.run(self._handle.change_data(data))


class _HasThread:
    """The attributes that methods made by `blocking` need."""

    _thread: LoopThread
    _target: Any


def blocking(
    method: Callable[Concatenate[S, P], Coroutine[Any, Any, R]],
) -> Callable[Concatenate[_HasThread, P], R]:
    """Return a blocking method with the signature of another class's coroutine method.

    Args:
        method: The coroutine method of the class behind the facade.
    """

    @wraps(method)
    def call(self: _HasThread, /, *args: P.args, **kwargs: P.kwargs) -> R:
        thread, target = self._thread, self._target
        return thread.run(method(target, *args, **kwargs))

    return call


def blocking_handle(
    method: Callable[Concatenate[S, P], Coroutine[Any, Any, JobHandle[R]]],
) -> Callable[Concatenate[_HasThread, P], SyncJobHandle[R]]:
    """Like `blocking`, for a method that returns a handle.

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
    """Like `blocking`, for a method that returns a list of handles.

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
    """Set a wrapper's signature to the method's, with sync handles in the return type."""
    signature = inspect.signature(method)
    returned = str(signature.return_annotation).replace("JobHandle", "SyncJobHandle")
    vars(call)["__signature__"] = signature.replace(return_annotation=returned)


class SyncFacade(_HasThread):
    """The base class of facades, which run a target's coroutine methods in a thread."""

    def __init__(self, target: Any, thread: LoopThread) -> None:
        """Create a facade.

        Args:
            target: The object with the coroutine methods.
            thread: Runs the coroutines.
        """
        self._target = target
        self._thread = thread


class SyncQueue(SyncFacade):
    """A queue for code without an event loop; see `Queue`."""

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
