"""Queues by name: finding the one that is meant, and completing it in a shell."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

import click

from toril.application.manager import QueueManager
from toril.cli.options import opened
from toril.errors import NotFoundError, did_you_mean
from toril.model.job import DEFAULT_PREFIX, QueueRef
from toril.queues.queue import Queue

F = TypeVar("F", bound=Callable[..., Any])

_PATIENCE = 2.0  # seconds that a shell may hang at the Tab key


async def existing(manager: QueueManager, name: str) -> Queue:
    """Return a queue of the store.

    Args:
        manager: The open store.
        name: The queue's name, or `prefix:name`.

    Raises:
        NotFoundError: There is no such queue; the message suggests the near one.
    """
    wanted = name if ":" in name or manager.prefix == DEFAULT_PREFIX else f"{manager.prefix}:{name}"
    prefix, colon, rest = wanted.partition(":")
    ref = QueueRef(prefix, rest) if colon else QueueRef(manager.prefix, wanted)
    if await manager.engine.queues.info(ref) is None:
        known = [str(info.ref) for info in await manager.engine.queues.all()]
        raise NotFoundError(
            f"there is no queue {name!r} in {manager.engine.location}; {did_you_mean(name, known)}"
        )
    return manager.queue(wanted)


def queue_argument(function: F) -> F:
    """Add the argument QUEUE, which a shell can complete."""
    return click.argument("queue", shell_complete=_complete)(function)


def _complete(context: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Return the queues whose names begin so; none where anything is wrong."""
    try:
        names = asyncio.run(asyncio.wait_for(_names(context.params.get("url")), _PATIENCE))
    except Exception:  # noqa: BLE001 - a shell that completes has no place for an error
        return []
    return [name for name in names if name.startswith(incomplete)]


async def _names(url: str | None) -> list[str]:
    async with opened(url) as manager:
        return [str(info.ref) for info in await manager.engine.queues.all()]
