"""The argument QUEUE, which a shell can complete."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

import click

from toril.admin.lookup import names
from toril.cli.options import opened

F = TypeVar("F", bound=Callable[..., Any])

_PATIENCE = 2.0  # seconds that a shell may hang at the Tab key


def queue_argument(function: F) -> F:
    """Add the argument QUEUE, which a shell can complete."""
    return click.argument("queue", shell_complete=_complete)(function)


def _complete(context: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Return the queues whose names start with what was typed; none if anything is wrong."""
    try:
        known = asyncio.run(asyncio.wait_for(_names(context.params.get("url")), _PATIENCE))
    except Exception:  # noqa: BLE001 - a shell that completes has no place for an error
        return []
    return [name for name in known if name.startswith(incomplete)]


async def _names(url: str | None) -> list[str]:
    async with opened(url) as manager:
        return await names(manager)
