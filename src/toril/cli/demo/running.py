"""The demo's worker, before the user's eyes."""

from __future__ import annotations

import asyncio
import contextlib
import logging

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from toril.application.manager import QueueManager
from toril.cli.console import clean, counted, err
from toril.cli.demo.jobs import QUEUE
from toril.model.events import JobFailed, JobRetrying
from toril.model.state import FINAL
from toril.queues.queue import Queue
from toril.worker.settings import WorkerSettings
from toril.worker.shutdown import on_signals
from toril.worker.worker import Worker

_LOOK_SECONDS = 0.1
_LEASE_SECONDS = 5
_GRACE_SECONDS = 10
_ANY_NUMBER = 1000  # of kills that a job may live through


async def left_over(queue: Queue) -> int:
    """Return how many jobs have not ended."""
    counts = await queue.counts()
    return sum(n for state, n in counts.items() if state not in FINAL)


async def run(manager: QueueManager, queue: Queue, concurrency: int) -> int:
    """Work until every job has ended, or until a signal.

    Args:
        manager: The open manager.
        queue: The demo's queue.
        concurrency: How many jobs at once.

    Returns:
        How many jobs are left.
    """
    logging.getLogger("toril").addHandler(logging.NullHandler())  # the bar tells instead
    settings = WorkerSettings(
        concurrency=concurrency,
        lease=_LEASE_SECONDS,
        grace=_GRACE_SECONDS,
        max_stalls=_ANY_NUMBER,
    )
    worker = manager.worker(queues=[QUEUE], settings=settings)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=err(),
    ) as bar:
        _tell_of_failures(manager, bar)
        watcher = asyncio.create_task(_watch(queue, bar, worker))
        with on_signals(lambda: _stop(worker, bar), lambda: worker.stop(force=True)):
            await worker.run()
        watcher.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watcher
        return await _look(queue, bar)


def _tell_of_failures(manager: QueueManager, bar: Progress) -> None:
    manager.on(JobRetrying, lambda e: _tell(
        bar, f"  {e.lease.name} failed attempt {e.error.attempt}, again in {e.delay:g} s: "
        f"{e.error.type}: {e.error.message}"))  # fmt: skip
    manager.on(JobFailed, lambda e: _tell(
        bar, f"  {e.lease.name} failed for good: {e.error.type}: {e.error.message}"))  # fmt: skip


def _stop(worker: Worker, bar: Progress) -> None:
    if worker.running:
        _tell(bar, f"{counted(worker.running)} may finish; a second Ctrl-C does not wait for that")
    worker.stop()


def _tell(bar: Progress, text: str) -> None:
    bar.console.print(clean(text))


async def _watch(queue: Queue, bar: Progress, worker: Worker) -> None:
    """Move the bar; end the worker when no job is left, also of a run that was killed."""
    bar.add_task("jobs", total=None)
    try:
        while await _look(queue, bar):  # noqa: ASYNC110 - the store is asked
            await asyncio.sleep(_LOOK_SECONDS)
    finally:
        worker.stop()


async def _look(queue: Queue, bar: Progress) -> int:
    """Show where the jobs are; return how many have not ended."""
    counts = await queue.counts()
    done, total = sum(counts[state] for state in FINAL), sum(counts.values())
    for task in bar.task_ids:
        bar.update(task, completed=done, total=total)
    return total - done
