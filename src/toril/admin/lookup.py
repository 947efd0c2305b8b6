"""Finds queues by name, and suggests a similar name if there is none."""

from __future__ import annotations

from typing import Any

from toril.application.manager import QueueManager
from toril.engine.contract.rules import no_such_job
from toril.errors import ConfigurationError, NotFoundError, did_you_mean
from toril.model.job import DEFAULT_PREFIX, QueueRef
from toril.queues.queue import Queue


async def existing(manager: QueueManager, name: str) -> Queue:
    """Return a queue that exists in the store.

    Args:
        manager: The open manager.
        name: The queue's name, or `prefix:name`.

    Raises:
        NotFoundError: The queue does not exist; the message suggests a similar name.
    """
    wanted = name if ":" in name or manager.prefix == DEFAULT_PREFIX else f"{manager.prefix}:{name}"
    prefix, colon, rest = wanted.rpartition(":")
    ref = QueueRef(prefix, rest) if colon else QueueRef(manager.prefix, wanted)
    if await manager.engine.queues.info(ref) is None:
        hint = did_you_mean(name, await names(manager))
        raise NotFoundError(f"there is no queue {name!r} in {manager.engine.location}; {hint}")
    return manager.queue(wanted)


async def raw_job(queue: Queue, job_id: str) -> dict[str, Any]:
    """Return all that the store holds for a job, as it is, even if the job cannot be read.

    Args:
        queue: The queue.
        job_id: The job's id.

    Returns:
        The store's own names and values.

    Raises:
        NotFoundError: The store holds nothing for the job.
    """
    found = await queue.engine.jobs.raw(queue.ref, job_id)
    if found is None:
        raise no_such_job(queue.ref, job_id)
    return found


async def names(manager: QueueManager) -> list[str]:
    """Return the names of all queues in the store, with their prefix if it is not the default.

    Args:
        manager: The open manager.
    """
    return [str(info.ref) for info in await manager.engine.queues.all()]


def with_handlers(manager: QueueManager, wanted: list[str] | None = None) -> list[Queue]:
    """Return the registered queues that a worker should serve.

    Args:
        manager: The manager.
        wanted: The names of the queues; None means all queues that have handlers.

    Raises:
        ConfigurationError: A queue is not registered; the message suggests a similar name.
    """
    if wanted is None:
        return [queue for queue in manager.registered if queue.has_handlers]
    by_name = {queue.name: queue for queue in manager.registered}
    by_name |= {str(queue): queue for queue in manager.registered}
    for name in wanted:
        if name not in by_name:
            hint = did_you_mean(name, map(str, manager.registered))
            raise ConfigurationError(f"the manager has no queue {name!r}; {hint}")
    return [by_name[name] for name in dict.fromkeys(wanted)]
