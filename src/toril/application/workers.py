"""Opens and closes the store, and runs workers in this process."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from toril.application.calls import Calls
from toril.application.production import refuse_what_loses_jobs, warn_of_what_loses_jobs
from toril.errors import ConfigurationError
from toril.forks import ForkAware, leave_behind, watch_forks
from toril.printable import logger
from toril.worker.settings import WorkerSettings
from toril.worker.shutdown import on_signals
from toril.worker.worker import Worker

_logger = logger("toril.manager")


class Forgetting(ForkAware):
    """Forgets the background workers in a forked child: they run in the parent alone."""

    def __init__(self, running: dict[Worker, asyncio.Task[None]]) -> None:
        """Watch a manager's workers.

        Args:
            running: The workers and their tasks.
        """
        self._running = running
        watch_forks(self)

    def start_over(self) -> None:
        leave_behind(dict(self._running))
        self._running.clear()


class Workers(Calls):
    """The methods of a manager that open and close the store and run workers."""

    _running: dict[Worker, asyncio.Task[None]]

    async def open(self) -> None:
        """Connect to the store, and store the registered queues that it does not have.

        Raises:
            ConfigurationError: In production, the store is configured to discard jobs, or forgets
                them when its server ends.
            EngineError: The store cannot be opened.
        """
        await self.engine.open()
        if self.settings.production:
            await refuse_what_loses_jobs(self.engine, self.settings)
        await self._store_queues()
        await self._store_missing_queues()

    async def _open_for_work(self) -> None:
        await self.open()
        await warn_of_what_loses_jobs(self.engine)

    async def shutdown(self) -> None:
        """Stop the workers that `start_workers` started, and close the store."""
        running = dict(self._running)
        self._running.clear()
        try:
            await asyncio.gather(*(_end(worker, task) for worker, task in running.items()))
        finally:
            await self.engine.close()

    async def run_workers(
        self,
        concurrency: int | None = None,
        *,
        queues: Sequence[str] | None = None,
        burst: bool = False,
        settings: WorkerSettings | None = None,
    ) -> None:
        """Run jobs until a signal: the first lets running jobs finish, the second does not.

        Args:
            concurrency: How many jobs run at once; defaults to the settings.
            queues: The names of the queues to serve; defaults to all that have handlers.
            burst: Stop when no job is running, ready, or due within a minute.
            settings: The worker's other settings.

        Raises:
            ConfigurationError: One of the queues, or every queue, has no handler.
            EngineError: The store cannot be opened.
        """
        worker = self.worker(concurrency, queues=queues, settings=settings)
        await self._open_for_work()
        with on_signals(worker.stop, lambda: worker.stop(force=True)):
            await worker.run(burst=burst)

    async def start_workers(
        self,
        concurrency: int | None = None,
        *,
        queues: Sequence[str] | None = None,
        settings: WorkerSettings | None = None,
    ) -> Worker:
        """Run jobs in the background until `shutdown`; takes the arguments of `run_workers`.

        Returns:
            The worker.

        Raises:
            ConfigurationError: One of the queues, or every queue, has no handler.
            EngineError: The store cannot be opened.
        """
        worker = self.worker(concurrency, queues=queues, settings=settings)
        await self._open_for_work()
        task = asyncio.create_task(worker.run(), name="toril-worker")
        task.add_done_callback(_log_error)
        self._running[worker] = task
        return worker

    def worker(
        self,
        concurrency: int | None = None,
        *,
        queues: Sequence[str] | None = None,
        settings: WorkerSettings | None = None,
    ) -> Worker:
        """Return a worker that has not started; takes the arguments of `run_workers`.

        Raises:
            ConfigurationError: One of the queues, or every queue, has no handler.
        """
        if queues is None:
            served = [queue for queue in self.registered if queue.has_handlers]
            if not served:
                raise ConfigurationError(
                    "no queue has a handler: add a task with @queue.task, "
                    "or a processor with manager.register_processor"
                )
        else:
            served = [self.queue(name) for name in queues]
        chosen = settings or WorkerSettings(concurrency=self.settings.concurrency)
        if concurrency is not None:
            chosen = _with_concurrency(chosen, concurrency)
        return Worker(
            self.engine,
            served,
            chosen,
            bus=self.events,
            middleware=tuple(self._middleware),
            strategies=self._strategies,
            hooks=tuple(self._hooks),
        )


async def _end(worker: Worker, task: asyncio.Task[None]) -> None:
    """Stop a background worker and wait until it has ended, on the event loop that runs it."""

    async def end() -> None:
        worker.stop()
        await task

    loop = task.get_loop()
    if loop is asyncio.get_running_loop():
        await end()
    else:  # the worker runs on the sync facade's loop
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(end(), loop))


def _log_error(worker: asyncio.Task[None]) -> None:
    """Log at once that a background worker failed, as it may be long until `shutdown` raises it."""
    if not worker.cancelled() and (error := worker.exception()) is not None:
        _logger.error("a background worker failed", exc_info=error)


def _with_concurrency(settings: WorkerSettings, concurrency: int) -> WorkerSettings:
    fields = {name: getattr(settings, name) for name in settings.__struct_fields__}
    return WorkerSettings(**{**fields, "concurrency": concurrency})
