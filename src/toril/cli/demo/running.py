"""Runs the demo's worker behind a progress bar."""

from __future__ import annotations

import asyncio
import contextlib
import logging

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from toril.application.manager import QueueManager
from toril.cli.console import counted, err
from toril.cli.demo.jobs import QUEUE
from toril.model.events import JobFailed, JobRetrying
from toril.model.state import FINAL
from toril.printable import block
from toril.queues.queue import Queue
from toril.worker.settings import WorkerSettings
from toril.worker.shutdown import on_signals
from toril.worker.worker import Worker

_UPDATE_SECONDS = 0.1
_LEASE_SECONDS = 5
_GRACE_SECONDS = 10
_MAX_STALLS = 1000  # a run may be killed any number of times


async def left_over(queue: Queue) -> int:
    """Return how many jobs have not finished."""
    counts = await queue.counts()
    return sum(n for state, n in counts.items() if state not in FINAL)


async def run(manager: QueueManager, queue: Queue, concurrency: int) -> int:
    """Run jobs until all have finished, or until a signal.

    Args:
        manager: The open manager.
        queue: The demo's queue.
        concurrency: How many jobs run at once.

    Returns:
        How many jobs are left.
    """
    logging.getLogger("toril").addHandler(logging.NullHandler())  # the progress bar reports instead
    settings = WorkerSettings(
        concurrency=concurrency,
        lease=_LEASE_SECONDS,
        grace=_GRACE_SECONDS,
        max_stalls=_MAX_STALLS,
    )
    worker = manager.worker(queues=[QUEUE], settings=settings)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=err(),
    ) as bar:
        _print_failures(manager, bar)
        watcher = asyncio.create_task(_watch(queue, bar, worker))
        with on_signals(lambda: _stop(worker, bar), lambda: worker.stop(force=True)):
            await worker.run()
        watcher.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watcher
        return await _update(queue, bar)


def _print_failures(manager: QueueManager, bar: Progress) -> None:
    manager.on(JobRetrying, lambda e: _print(
        bar, f"  {e.lease.name} failed attempt {e.error.attempt}, retrying in {e.delay:g} s: "
        f"{e.error.type}: {e.error.message}"))  # fmt: skip
    manager.on(JobFailed, lambda e: _print(
        bar, f"  {e.lease.name} failed for good: {e.error.type}: {e.error.message}"))  # fmt: skip


def _stop(worker: Worker, bar: Progress) -> None:
    if worker.running:
        at_once = "press Ctrl-C again to stop at once"
        _print(bar, f"waiting for {counted(worker.running)} to finish; {at_once}")
    worker.stop()


def _print(bar: Progress, text: str) -> None:
    bar.console.print(block(text))


async def _watch(queue: Queue, bar: Progress, worker: Worker) -> None:
    """Update the bar, and stop the worker when no job is left, including those of killed runs."""
    bar.add_task("jobs", total=None)
    try:
        while await _update(queue, bar):  # noqa: ASYNC110 - it polls the store
            await asyncio.sleep(_UPDATE_SECONDS)
    finally:
        worker.stop()


async def _update(queue: Queue, bar: Progress) -> int:
    """Update the bar, and return how many jobs have not finished."""
    counts = await queue.counts()
    done, total = sum(counts[state] for state in FINAL), sum(counts.values())
    for task in bar.task_ids:
        bar.update(task, completed=done, total=total)
    return total - done
