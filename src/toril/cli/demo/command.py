"""The verb: plan the jobs, run them before the user's eyes, say what came of it."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from toril.cli.console import err, say
from toril.cli.demo.jobs import QUEUE, register
from toril.cli.demo.plan import files_below, jobs_for
from toril.cli.demo.summary import show, summarize
from toril.cli.exits import Exit
from toril.cli.options import run_loop, store_options
from toril.clock import SystemClock
from toril.errors import ConfigurationError
from toril.manager import QueueManager
from toril.model.events import JobFailed, JobRetrying
from toril.model.state import FINAL
from toril.queues.queue import Queue
from toril.stores import open_engine
from toril.worker.worker import WorkerSettings

_LOOK_SECONDS = 0.1
_LEASE_SECONDS = 5


@click.command()
@click.argument(
    "folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=".",
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default="toril-demo",
    show_default=True,
    help="Where copies, summary and store go.",
)
@click.option("--limit", type=click.IntRange(min=1), default=2000, show_default=True,
              help="How many files at most.")  # fmt: skip
@click.option("--concurrency", "-c", type=click.IntRange(min=1), default=8, show_default=True,
              help="How many jobs at once.")  # fmt: skip
@click.option("--fresh", is_flag=True, help="Begin anew even if the last run was stopped.")
@store_options
def demo(
    folder: Path, out: Path, limit: int, *, concurrency: int, url: str | None, fresh: bool
) -> None:
    """Press every file of a FOLDER, a job a file, and show how jobs are run.

    Each file is read, counted, checksummed and compressed into the output folder, in
    processes. One file is not there, so you see a job fail for good; one job calls a
    service that answers only the third time, so you see retries and backoff. Ctrl-C
    stops at any time; a second run goes on where the first was stopped.

    By default the store is one SQLite file in the output folder: nothing else is needed.
    """
    out.mkdir(parents=True, exist_ok=True)
    files = files_below(folder, out, limit)
    if not files:
        raise ConfigurationError(f"there are no files in {folder.absolute()}; name another folder")
    engine = open_engine(url or f"sqlite:///{out.absolute() / 'demo.db'}")
    run_loop(
        _demo(
            QueueManager(engine=engine), jobs_for(files, folder, out), out, concurrency, fresh=fresh
        )
    )


async def _demo(
    manager: QueueManager, jobs: list[dict[str, Any]], out: Path, concurrency: int, *, fresh: bool
) -> None:
    queue = register(manager)
    async with manager:
        left = 0 if fresh else await _left_over(queue)
        if left:
            say(f"going on with {left:,} jobs of a run that was stopped (--fresh begins anew)")
        else:
            await _add(queue, jobs)
        await _run(manager, queue, out, concurrency)


async def _left_over(queue: Queue) -> int:
    """Return how many jobs of an earlier run have not ended."""
    counts = await queue.counts()
    return sum(n for state, n in counts.items() if state not in FINAL)


async def _add(queue: Queue, jobs: list[dict[str, Any]]) -> None:
    await queue.obliterate(force=True)
    clock = SystemClock()
    started = clock.monotonic()
    handles = await queue.add_bulk(jobs)
    took = (clock.monotonic() - started) * 1000
    say(f"{len(handles):,} jobs added to {queue.engine.location} in {took:.0f} ms, in one call")


async def _run(manager: QueueManager, queue: Queue, out: Path, concurrency: int) -> None:
    logging.getLogger("toril").addHandler(logging.NullHandler())  # the bar tells instead
    clock = SystemClock()
    started = clock.monotonic()
    before = await _left_over(queue)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=err(),
    ) as bar:
        manager.on(JobRetrying, lambda e: bar.console.print(
            f"  {e.lease.name} failed attempt {e.error.attempt}, again in {e.delay:g} s: "
            f"{e.error.type}: {e.error.message}"))  # fmt: skip
        manager.on(JobFailed, lambda e: bar.console.print(
            f"  {e.lease.name} failed for good: {e.error.type}: {e.error.message}"))  # fmt: skip
        watcher = asyncio.create_task(_watch(queue, bar))
        settings = WorkerSettings(concurrency=concurrency, lease=_LEASE_SECONDS, grace=10)
        try:
            await manager.run_workers(queues=[QUEUE], burst=True, settings=settings)
        finally:
            watcher.cancel()
            await _look(queue, bar)
    left = await _left_over(queue)
    if left:
        say(f"stopped with {left:,} jobs left; run it again to go on")
        raise click.exceptions.Exit(Exit.INTERRUPTED)
    seconds = clock.monotonic() - started
    show(await summarize(queue, seconds, before), out / "summary.json")
    say(f"\nlook closer:  toril job list {QUEUE} --state failed --url {queue.engine.location}")


async def _watch(queue: Queue, bar: Progress) -> None:
    bar.add_task("jobs", total=None)
    while True:
        await _look(queue, bar)
        await asyncio.sleep(_LOOK_SECONDS)


async def _look(queue: Queue, bar: Progress) -> None:
    counts = await queue.counts()
    done = sum(n for state, n in counts.items() if state in FINAL)
    for task in bar.task_ids:
        bar.update(task, completed=done, total=sum(counts.values()))
