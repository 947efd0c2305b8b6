"""The QUEUE argument, with shell completion."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any, TypeVar

import click

from toril.admin.lookup import names
from toril.cli.options import opened

F = TypeVar("F", bound=Callable[..., Any])

_PLAIN = re.compile(r"[\w@%+=:./{}-]+")
_TIMEOUT = 2.0  # seconds that a completion may take


def queue_argument(function: F) -> F:
    """Add the QUEUE argument, with shell completion."""
    return click.argument("queue", shell_complete=_complete)(function)


def _complete(context: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Return the queues whose names start with the typed text; none if there is an error.

    Shells insert a completion as it is, so names with characters that mean something to a shell
    are left out.
    """
    try:
        known = asyncio.run(asyncio.wait_for(_names(context.params.get("url")), _TIMEOUT))
    except Exception:  # noqa: BLE001 - a completion cannot show errors
        return []
    return [name for name in known if name.startswith(incomplete) and _PLAIN.fullmatch(name)]


async def _names(url: str | None) -> list[str]:
    async with opened(url) as manager:
        return await names(manager)
