"""The verb: plans the jobs, runs them, and shows a summary."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from toril.application.manager import QueueManager
from toril.application.stores import open_engine
from toril.cli.console import counted, say
from toril.cli.demo.jobs import QUEUE, register
from toril.cli.demo.plan import COPIES, OUT, STORE, SUMMARY, files_below, jobs_for
from toril.cli.demo.running import left_over, run
from toril.cli.demo.summary import remove_partial_copies, show, summarize
from toril.cli.exits import Exit
from toril.cli.options import debug_option, run_loop, url_option
from toril.clock import SystemClock
from toril.config import Settings
from toril.errors import ConfigurationError
from toril.model.state import JobState
from toril.queues.queue import Queue


@click.command()
@click.argument(
    "folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=".",
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=OUT,
    show_default=True,
    help="The folder for copies, summary and store.",
)
@click.option("--limit", type=click.IntRange(min=1), default=2000, show_default=True,
              help="The maximum number of files.")  # fmt: skip
@click.option("--concurrency", "-c", type=click.IntRange(min=1), default=8, show_default=True,
              help="How many jobs run at once.")  # fmt: skip
@click.option("--fresh", is_flag=True, help="Start over instead of resuming a stopped run.")
@url_option("a file in the output folder")
@debug_option
def demo(
    folder: Path, out: Path, limit: int, *, concurrency: int, url: str | None, fresh: bool
) -> None:
    """Compress the files in FOLDER, with one job per file.

    Separate processes read each file, count its lines, compute a checksum, and write a
    compressed copy to the output folder. One file does not exist, to show a job that fails for
    good. One job calls a service that answers only the third time, to show retries and backoff.
    Ctrl-C stops at any time; the next run resumes where this one stopped.

    By default, the store is an SQLite file in the output folder, so nothing else is needed.
    """
    files = files_below(folder, out, limit)
    if not files:
        raise ConfigurationError(f"no files in {folder.absolute()}; name another folder")
    # Private to this user, because it gets copies of files that others may not be able to read.
    out.mkdir(mode=0o700, parents=True, exist_ok=True)
    store = _store_in(out) if url is None else url
    # The summary needs finished jobs, which settings from the environment might not keep.
    settings = Settings(prefix=Settings.from_environment().prefix)
    manager = QueueManager(settings=settings, engine=open_engine(store))
    run_loop(_demo(manager, jobs_for(files, folder, out), out, concurrency, fresh=fresh))
    if manager.engine.capabilities.durable:
        location = shlex.quote(manager.engine.location)  # unlike the URL, without a password
        say("", f"inspect it:  toril job list {QUEUE} --state failed --url {location}")


def _store_in(out: Path) -> str:
    return f"sqlite:///{quote(os.fspath(out.absolute() / STORE))}"


async def _demo(
    manager: QueueManager, jobs: list[dict[str, Any]], out: Path, concurrency: int, *, fresh: bool
) -> None:
    queue = register(manager)
    clock = SystemClock()
    async with manager:
        await _add(queue, jobs, clock, fresh=fresh)
        started, before = clock.monotonic(), await left_over(queue)
        left = await run(manager, queue, concurrency)
        if left:
            say(f"stopped with {counted(left)} left; run the demo again to resume")
            raise click.exceptions.Exit(Exit.INTERRUPTED)
        seconds = clock.monotonic() - started
        remove_partial_copies(out / COPIES)
        show(await summarize(queue, seconds, before), out / SUMMARY)


async def _add(
    queue: Queue, jobs: list[dict[str, Any]], clock: SystemClock, *, fresh: bool
) -> None:
    """Add the jobs, or resume a stopped run with the same plan, whose jobs already exist."""
    left = 0 if fresh else await left_over(queue)
    if left and await queue.get(jobs[-1]["options"]["job_id"]) is not None:
        say(f"resuming a stopped run with {counted(left)} left (--fresh starts over)")
        active = (await queue.counts())[JobState.ACTIVE]
        if active:
            say(f"{counted(active)} of them were running; they run again in a few seconds")
        await queue.resume()
        await queue.add_bulk(jobs)
        return
    await queue.obliterate(force=True)
    started = clock.monotonic()
    handles = await queue.add_bulk(jobs)
    took = (clock.monotonic() - started) * 1000
    say(f"{counted(len(handles))} added to {queue.engine.location} in {took:.0f} ms, in one call")
