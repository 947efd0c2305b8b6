"""The manager for code without an event loop: thin, and made from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self, Unpack

from toril.manager import QueueManager
from toril.model.job import DEFAULT_NAME
from toril.model.job_options import JobOptionArgs
from toril.queues.sync import LoopThread, SyncFacade, SyncJobHandle, SyncQueue, blocking
from toril.queues.task import P, R, Task


class SyncQueueManager(SyncFacade):
    """A manager for code without an event loop. `manager.sync` returns it.

    Its calls run on an event loop in a thread, which `close` ends; as `with manager.sync
    as jobs:` it is closed at the end.
    """

    def __init__(self, manager: QueueManager) -> None:
        """Face a manager.

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

    open = blocking(QueueManager.open)
    get_job = blocking(QueueManager.get_job)
    get_queue_metrics = blocking(QueueManager.get_queue_metrics)
    get_all_metrics = blocking(QueueManager.get_all_metrics)
    pause_queue = blocking(QueueManager.pause_queue)
    resume_queue = blocking(QueueManager.resume_queue)
    clean_queue = blocking(QueueManager.clean_queue)
    examine = blocking(QueueManager.examine)
    load_payload = blocking(QueueManager.load_payload)
    clean_payloads = blocking(QueueManager.clean_payloads)
    start_workers = blocking(QueueManager.start_workers)

    def close(self) -> None:
        """Stop the workers that it started, close the store, and end the thread."""
        try:
            self._thread.run(self._manager.shutdown())
        finally:
            self.end_thread()

    @property
    def is_this_thread(self) -> bool:
        """Whether the caller runs in the facade's own thread."""
        return self._thread.is_current

    def end_thread(self) -> None:
        """End the thread; a later call starts another."""
        self._thread.close()

    def add_job(
        self,
        queue: str,
        name: str = DEFAULT_NAME,
        data: Any = None,
        **options: Unpack[JobOptionArgs],
    ) -> SyncJobHandle[Any]:
        """Add a job; see `QueueManager.add_job`."""
        return self._wrap(self._thread.run(self._manager.add_job(queue, name, data, **options)))

    def add_bulk(self, queue: str, jobs: Sequence[Mapping[str, Any]]) -> list[SyncJobHandle[Any]]:
        """Add many jobs in one call: all of them, or none."""
        handles = self._thread.run(self._manager.add_bulk(queue, jobs))
        return [self._wrap(handle) for handle in handles]

    def enqueue(self, task: Task[P, R], *args: P.args, **kwargs: P.kwargs) -> SyncJobHandle[R]:
        """Add a job that calls a task's function with these arguments.

        Args:
            task: The task; `task.options(...)` for other options.
            *args: The function's arguments.
            **kwargs: The function's arguments.
        """
        return self._wrap(self._thread.run(task.enqueue(*args, **kwargs)))

    def queue(self, name: str) -> SyncQueue:
        """Return a queue, registering it if it is not yet."""
        return SyncQueue(self._manager.queue(name), self._thread)
