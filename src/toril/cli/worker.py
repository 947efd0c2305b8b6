"""`toril worker`: run jobs."""

from __future__ import annotations

import importlib
import logging
import sys
from pathlib import Path
from types import ModuleType

import click

from toril.cli.console import say
from toril.cli.options import run_loop, store_options
from toril.config import Settings
from toril.errors import ConfigurationError, did_you_mean
from toril.manager import QueueManager
from toril.queues.queue import Queue
from toril.stores import open_engine
from toril.worker.worker import WorkerSettings

_TARGET = "MODULE:ATTR"


@click.command()
@click.argument("target", metavar=_TARGET)
@click.option("--concurrency", "-c", type=click.IntRange(min=1), help="How many jobs at once.")
@click.option("--queues", "-q", metavar="A,B", help="These queues only.")
@click.option("--burst", is_flag=True, help="Stop when nothing is left to do.")
@click.option("--processes", type=click.IntRange(min=1), help="How many process handlers at once.")
@click.option("--lease", default="30s", show_default=True, help="How long a job is held unrenewed.")
@click.option("--grace", default="30s", show_default=True, help="For running jobs after a signal.")
@click.option("--max-stalls", type=click.IntRange(min=0), default=3, show_default=True,
              help="How often a job may lose its worker.")  # fmt: skip
@store_options
def worker(
    target: str,
    *,
    concurrency: int | None,
    queues: str | None,
    burst: bool,
    processes: int | None,
    lease: str,
    grace: str,
    max_stalls: int,
    url: str | None,
) -> None:
    """Run the jobs of the queue manager at MODULE:ATTR, for example app.jobs:manager.

    The first Ctrl-C or SIGTERM lets running jobs finish, the second gives them back.
    """
    _set_up_logging()
    manager = load(target)
    if url is not None:
        manager.use(open_engine(url))
    base = WorkerSettings(concurrency=concurrency or manager.settings.concurrency)
    settings = WorkerSettings(
        concurrency=base.concurrency,
        processes=processes or base.processes,
        lease=lease,
        grace=grace,
        max_stalls=max_stalls,
    )
    names = None if queues is None else [name.strip() for name in queues.split(",")]
    _require_known(manager, names)
    run_loop(_work(manager, settings, names, burst=burst))


async def _work(
    manager: QueueManager, settings: WorkerSettings, queues: list[str] | None, *, burst: bool
) -> None:
    async with manager:
        served = [q for q in manager.registered if q.has_handlers and _wanted(q, queues)]
        say(_greeting(manager, served, settings))
        await manager.run_workers(queues=queues, burst=burst, settings=settings)
    say("stopped; every job is settled or given back")


def _wanted(queue: Queue, names: list[str] | None) -> bool:
    return names is None or queue.name in names or str(queue) in names


def _greeting(manager: QueueManager, queues: list[Queue], settings: WorkerSettings) -> str:
    lines = [f"working on {manager.engine.location}, {settings.concurrency} jobs at once:"]
    for queue in queues:
        handlers = [f"{task.name} ({task.run_in})" for task in queue.tasks.values()]
        if queue.fallback is not None:
            handlers.append(f"any other name ({queue.fallback.run_in})")
        lines.append(f"  {queue}: {', '.join(handlers)}")
    return "\n".join([*lines, "Ctrl-C stops it"])


def _require_known(manager: QueueManager, names: list[str] | None) -> None:
    known = {str(queue) for queue in manager.registered} | {q.name for q in manager.registered}
    for name in names or ():
        if name not in known:
            raise ConfigurationError(
                f"--queues: the manager has no queue {name!r}; {did_you_mean(name, known)}"
            )


def _set_up_logging() -> None:
    level = Settings.from_environment().log_level.upper()
    logging.basicConfig(
        level=level, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s"
    )
    logging.getLogger("asyncio").setLevel(max(logging.INFO, logging.getLevelName(level)))


def load(target: str) -> QueueManager:
    """Import a queue manager.

    Args:
        target: "package.module:attribute"; the attribute may be left out where the
            module has one manager.

    Raises:
        ConfigurationError: It cannot be found, and why.
    """
    name, _, attribute = target.partition(":")
    module = _import(name)
    if attribute:
        found: object = module
        for part in attribute.split("."):
            if not hasattr(found, part):
                hint = did_you_mean(part, [n for n in vars(module) if not n.startswith("_")])
                raise ConfigurationError(f"{name} has no {part!r}; {hint}")
            found = getattr(found, part)
        if not isinstance(found, QueueManager):
            raise ConfigurationError(
                f"{target} is a {type(found).__name__}, not a QueueManager{_managers_of(module)}"
            )
        return found
    managers = [v for v in vars(module).values() if isinstance(v, QueueManager)]
    if len(managers) != 1:
        raise ConfigurationError(
            f"{name} has {len(managers)} queue managers; write {_TARGET} to name one"
        )
    return managers[0]


def _import(name: str) -> ModuleType:
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    if name.endswith(".py") or "/" in name:
        dotted = name.removesuffix(".py").strip("./").replace("/", ".")
        raise ConfigurationError(f"{name!r} is a file's path; write the module's name: {dotted}")
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(f"{error.name}.")):
            raise ConfigurationError(
                f"there is no module {name!r} in {here} or on the import path"
            ) from None
        raise ConfigurationError(f"{name} cannot be imported: {error}") from error
    except Exception as error:
        place = _place_of(error)
        raise ConfigurationError(
            f"{name} cannot be imported: {type(error).__name__}: {error}{place} "
            "(--debug shows the traceback)"
        ) from error


def _place_of(error: BaseException) -> str:
    """Return where in the user's code an import failed."""
    trace, last = error.__traceback__, None
    while trace is not None:
        last, trace = trace, trace.tb_next
    return "" if last is None else f" at {last.tb_frame.f_code.co_filename}:{last.tb_lineno}"


def _managers_of(module: ModuleType) -> str:
    names = [n for n, v in vars(module).items() if isinstance(v, QueueManager)]
    return f"; {module.__name__} has {', '.join(names)}" if names else ""
