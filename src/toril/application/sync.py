"""The manager for code without an event loop: a thin wrapper around the async manager."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from toril.application.workers import Workers
from toril.queues.sync import (
    LoopThread,
    SyncFacade,
    SyncJobHandle,
    SyncQueue,
    blocking,
    blocking_handle,
    blocking_handles,
)
from toril.queues.task import P, R, Task


class SyncQueueManager(SyncFacade):
    """A manager for code without an event loop. `manager.sync` returns it.

    Its calls run on an event loop in a separate thread, which `close` ends. Use it with
    `with manager.sync as jobs:`, which closes it at the end.
    """

    def __init__(self, manager: Workers) -> None:
        """Create the facade of a manager.

        Args:
            manager: The manager.
        """
        super().__init__(manager, LoopThread())
        self._manager = manager

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    open = blocking(Workers.open)
    get_job = blocking(Workers.get_job)
    get_queue_metrics = blocking(Workers.get_queue_metrics)
    get_all_metrics = blocking(Workers.get_all_metrics)
    pause_queue = blocking(Workers.pause_queue)
    resume_queue = blocking(Workers.resume_queue)
    clean_queue = blocking(Workers.clean_queue)
    examine = blocking(Workers.examine)
    load_payload = blocking(Workers.load_payload)
    clean_payloads = blocking(Workers.clean_payloads)
    start_workers = blocking(Workers.start_workers)
    add_job = blocking_handle(Workers.add_job)
    add_bulk = blocking_handles(Workers.add_bulk)

    def close(self) -> None:
        """Stop the workers that `start_workers` started, close the store, and end the thread."""
        try:
            self._thread.run(self._manager.shutdown())
        finally:
            self.end_thread()

    @property
    def is_this_thread(self) -> bool:
        """Whether the caller is running in the facade's thread."""
        return self._thread.is_current

    def end_thread(self) -> None:
        """End the thread; a later call starts a new one."""
        self._thread.close()

    def enqueue(self, task: Task[P, R], *args: P.args, **kwargs: P.kwargs) -> SyncJobHandle[R]:
        """Add a job that calls a task's function with these arguments.

        Args:
            task: The task; use `task.options(...)` for other options.
            *args: The function's positional arguments.
            **kwargs: The function's keyword arguments.

        Raises:
            ValidationError: The arguments do not fit the function's signature or types.
            EngineError: The store failed.
        """
        handle = self._thread.run(task.enqueue(*args, **kwargs))
        return SyncJobHandle(handle, self._thread)

    def queue(self, name: str) -> SyncQueue:
        """Return a queue, and register it first if necessary."""
        return SyncQueue(self._manager.queue(name), self._thread)
