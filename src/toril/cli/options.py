"""The options that verbs share, and the store that they select."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import click
from msgspec.structs import replace

from toril.application.manager import QueueManager
from toril.application.stores import open_engine
from toril.config import Settings
from toril.engine.contract.engine import Engine
from toril.errors import ConfigurationError, StoreUnavailableError

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

DEBUG = "toril.debug"


def run_loop(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on the fastest event loop that is installed."""
    try:
        import uvloop  # noqa: PLC0415 - not available on every system
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


def url_option(default: str) -> Callable[[F], F]:
    """Return a decorator that adds --url.

    Args:
        default: The store that applies without the option, for the help text.
    """
    return click.option(
        "--url",
        metavar="URL",
        help=f"The store's URL, for example sqlite:///toril.db.  [default: {default}]",
    )


def store_options(function: F) -> F:
    """Add --url and --debug."""
    return url_option("TORIL_URL")(debug_option(function))


def json_option(function: F) -> F:
    """Add --json."""
    return click.option("--json", "as_json", is_flag=True, help="Print a JSON document.")(function)


def yes_option(function: F) -> F:
    """Add --yes."""
    return click.option("--yes", "-y", is_flag=True, help="Do not ask for confirmation.")(function)


def runs(function: Callable[P, Coroutine[Any, Any, R]]) -> Callable[P, R]:
    """Turn a coroutine function into a command's callback."""

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        return run_loop(function(*args, **kwargs))

    return call


@asynccontextmanager
async def opened(
    url: str | None, *, create: bool = False, refuse: bool = True
) -> AsyncIterator[QueueManager]:
    """Open the store that --url or the settings name.

    Args:
        url: The value of --url; None means the settings' URL.
        create: Create the file if it does not exist. Verbs that only inspect must not.
        refuse: In production, refuse a store that loses jobs.

    Raises:
        ConfigurationError: The URL does not name an engine, or a setting is not valid.
        EngineError: The store cannot be opened.
    """
    settings = Settings.from_environment()
    if not refuse:
        settings = replace(settings, production=False)
    manager = QueueManager(settings=settings, engine=_engine(url, settings, create=create))
    try:
        await manager.open()
    except StoreUnavailableError as error:
        local = manager.engine.capabilities.local_file
        hint = ", or toril add --create to create one" if local else ""
        raise StoreUnavailableError(
            f"{error} (use --url or TORIL_URL to name another store{hint})"
        ) from error
    async with manager:
        yield manager


def _engine(url: str | None, settings: Settings, *, create: bool) -> Engine:
    try:
        return open_engine(settings.url if url is None else url, create=create)
    except ConfigurationError as error:
        if url is not None:
            raise
        raise ConfigurationError(
            f"{error}. The URL comes from TORIL_URL or REDIS_HOST; --url overrides them"
        ) from error
