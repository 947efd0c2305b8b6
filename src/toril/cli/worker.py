"""`toril worker`: run jobs."""

from __future__ import annotations

import logging
import os
import sys

import click

from toril.admin.lookup import with_handlers
from toril.application.manager import QueueManager
from toril.application.stores import open_engine
from toril.cli.console import counted, say
from toril.cli.exits import Exit
from toril.cli.loading import FORM, load
from toril.cli.options import debug_option, run_loop, url_option
from toril.config import Settings
from toril.errors import ConfigurationError
from toril.printable import LogFormatter
from toril.queues.queue import Queue
from toril.worker.settings import WorkerSettings
from toril.worker.shutdown import on_signals
from toril.worker.worker import Worker

_DEFAULTS = WorkerSettings()


@click.command()
@click.argument("target", metavar=FORM)
@click.option("--concurrency", "-c", type=click.IntRange(min=1),
              help="How many jobs run at once.")  # fmt: skip
@click.option("--queues", "-q", metavar="A,B", help="Serve only these queues.")
@click.option("--burst", is_flag=True, help="Stop when no work is left.")
@click.option("--processes", type=click.IntRange(min=1), default=_DEFAULTS.processes,
              show_default=True, help="How many process handlers run at once.")  # fmt: skip
@click.option("--max-jobs-per-process", type=click.IntRange(min=1), metavar="N",
              help="Replace a process after N jobs.")  # fmt: skip
@click.option("--max-memory-per-process", type=click.IntRange(min=1), metavar="BYTES",
              help="Replace a process that uses more memory when a job ends.")  # fmt: skip
@click.option("--lease", metavar="TIME", default="30s", show_default=True,
              help="How long a job's lease lasts unless the worker renews it.")  # fmt: skip
@click.option("--grace", metavar="TIME", default="30s", show_default=True,
              help="How long running jobs may continue after a stop signal.")  # fmt: skip
@click.option("--report", metavar="TIME", default="10s", show_default=True,
              help="How often to log statistics; 0s means never.")  # fmt: skip
@click.option("--max-stalls", type=click.IntRange(min=0), default=_DEFAULTS.max_stalls,
              show_default=True,
              help="How often a job may lose its worker before it fails.")  # fmt: skip
@click.option("--handler-wait", metavar="TIME", default="1h", show_default=True,
              help="How long a job without a handler waits for a worker that has one.")  # fmt: skip
@url_option("the manager's URL")
@debug_option
def worker(
    target: str,
    *,
    concurrency: int | None,
    queues: str | None,
    burst: bool,
    processes: int,
    max_jobs_per_process: int | None,
    max_memory_per_process: int | None,
    lease: str,
    grace: str,
    report: str,
    max_stalls: int,
    handler_wait: str,
    url: str | None,
) -> None:
    """Run the jobs of a queue manager.

    MODULE:ATTR is the manager, for example app.jobs:manager.

    The first Ctrl-C or SIGTERM lets running jobs finish. The second releases them, so that they
    run again.
    """
    _set_up_logging()
    manager = load(target)
    if url is not None:
        manager.use(open_engine(url))
    settings = WorkerSettings(
        concurrency=concurrency or manager.settings.concurrency,
        processes=processes,
        max_jobs_per_process=max_jobs_per_process,
        max_memory_per_process=max_memory_per_process,
        lease=lease,
        grace=grace,
        report_every=report,
        max_stalls=max_stalls,
        handler_wait=handler_wait,
    )
    served = _served(manager, queues)
    run_loop(_work(manager, served, settings, burst=burst))


async def _work(
    manager: QueueManager, served: list[Queue], settings: WorkerSettings, *, burst: bool
) -> None:
    names = [f"{queue.ref.prefix}:{queue.name}" for queue in served]
    worker = manager.worker(queues=names or None, settings=settings)
    async with manager:
        say(*_greeting(manager, served, settings))
        with on_signals(lambda: _stop(worker), lambda: worker.stop(force=True)):
            await worker.run(burst=burst)
    done = worker.statistics
    say(
        f"stopped: {counted(done.completed)} completed, {done.failed:,} failed, "
        f"{done.released:,} released"
    )
    for name, times in sorted(worker.unhandled.items()):
        say(f"no handler here for {name!r}: {counted(times)} released")
    if worker.forsaken:
        # A handler that does not stop would keep the program alive, while another worker may
        # already run its job.
        say(f"{counted(worker.forsaken)} did not stop; exiting anyway")
        logging.shutdown()
        sys.stdout.flush()
        os._exit(Exit.OK)


def _stop(worker: Worker) -> None:
    if worker.running:
        say(f"waiting for {counted(worker.running)} to finish; signal again to stop at once")
    worker.stop()


def _served(manager: QueueManager, names: str | None) -> list[Queue]:
    known = {str(queue) for queue in manager.registered} | {q.name for q in manager.registered}
    if names is None or names in known:  # a queue's name may contain a comma
        wanted = None if names is None else [names]
    else:
        wanted = [name.strip() for name in names.split(",")]
    try:
        return with_handlers(manager, wanted)
    except ConfigurationError as error:
        raise ConfigurationError(f"--queues: {error}") from None


def _greeting(manager: QueueManager, queues: list[Queue], settings: WorkerSettings) -> list[str]:
    at_once = counted(settings.concurrency)
    lines = [f"serving {manager.engine.location}, {at_once} at once:"]
    for queue in queues:
        handlers = [f"{task.name} ({task.run_in})" for task in queue.tasks.values()]
        if queue.default_processor is not None:
            other = "any other name" if handlers else "any name"
            handlers.append(f"{other} ({queue.default_processor.run_in})")
        lines.append(f"  {queue}: {', '.join(handlers)}")
    return [*lines, "press Ctrl-C to stop"]


def _set_up_logging() -> None:
    level = Settings.from_environment().log_level.upper()
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LogFormatter("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(level=level, handlers=[handler])
    logging.getLogger("asyncio").setLevel(max(logging.INFO, logging.getLevelName(level)))
