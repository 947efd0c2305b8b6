"""The options that every verb has, and the store that they name."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import click

from toril.config import Settings
from toril.errors import NotFoundError, did_you_mean
from toril.manager import QueueManager
from toril.model.job import DEFAULT_PREFIX
from toril.queues.queue import Queue
from toril.stores import open_engine

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

DEBUG = "toril.debug"


def run_loop(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on the fastest event loop that there is here."""
    try:
        import uvloop  # noqa: PLC0415 - not made for every system
    except ImportError:
        return asyncio.run(coroutine)
    return uvloop.run(coroutine)


def _remember_debug(context: click.Context, _: click.Parameter, value: bool) -> None:  # noqa: FBT001
    if value:
        context.find_root().meta[DEBUG] = True


def debug_option(function: F) -> F:
    """Add --debug."""
    return click.option(
        "--debug",
        is_flag=True,
        expose_value=False,
        is_eager=True,
        callback=_remember_debug,
        help="Show the traceback of an error.",
    )(function)


def store_options(function: F) -> F:
    """Add --url and --debug."""
    return click.option(
        "--url",
        metavar="URL",
        help="Where the jobs are, for example sqlite:///toril.db. Default: TORIL_URL.",
    )(debug_option(function))


def json_option(function: F) -> F:
    """Add --json."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")(
        function
    )


def yes_option(function: F) -> F:
    """Add --yes."""
    return click.option("--yes", "-y", is_flag=True, help="Do not ask.")(function)


def runs(function: Callable[P, Coroutine[Any, Any, R]]) -> Callable[P, R]:
    """Make a coroutine function a command's callback."""

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        return run_loop(function(*args, **kwargs))

    return call


@asynccontextmanager
async def opened(url: str | None, *, create: bool = False) -> AsyncIterator[QueueManager]:
    """Open the store that --url or the settings name.

    Args:
        url: The option's value.
        create: Make a file that is not there: looking must not.
    """
    settings = Settings.from_environment()
    engine = open_engine(url or settings.url, create=create)
    async with QueueManager(settings=settings, engine=engine) as manager:
        yield manager


async def existing(manager: QueueManager, name: str) -> Queue:
    """Return a queue of the store.

    Args:
        manager: The open store.
        name: The queue's name, or `prefix:name`.

    Raises:
        NotFoundError: There is no such queue; the message suggests the near one.
    """
    known = {str(info.ref) for info in await manager.engine.queues()}
    wanted = name if ":" in name or manager.prefix == DEFAULT_PREFIX else f"{manager.prefix}:{name}"
    if wanted.removeprefix(f"{DEFAULT_PREFIX}:") not in known:
        raise NotFoundError(
            f"there is no queue {name!r} in {manager.engine.location}; {did_you_mean(name, known)}"
        )
    return manager.queue(wanted)
