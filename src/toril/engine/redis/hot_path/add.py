"""Adding jobs: the arguments and answers of lua/add.lua, and safe retries."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from toril.engine.contract.hot_path import Added, AddStatus, Batch
from toril.engine.redis.connection.connections import Connections
from toril.engine.redis.connection.wire import WireLostError
from toril.engine.redis.hot_path.producer_ids import ProducerIds
from toril.errors import EngineError, StoreBusyError
from toril.model.codec import payload_hash
from toril.model.job import NewJob, QueueRef
from toril.model.job_options import JobOptions

_NEW = 1
_FROM_NOW = -1


class Adder:
    """Adds each batch exactly once, even if replies are lost."""

    def __init__(self, location: str) -> None:
        """Prepare.

        Args:
            location: The store's URL without a password.
        """
        self._location = location
        self._producers = ProducerIds()

    async def add(
        self,
        connections: Connections,
        queue: QueueRef,
        jobs: Sequence[NewJob],
        batch: Batch | None,
    ) -> list[Added]:
        """Add jobs; see `Engine.add`."""
        packed = pack(jobs)
        if batch is not None:
            sequence = (batch.producer, batch.sequence)
            answer = await connections.run("add", queue, *sequence, *packed)
        else:
            answer = await self._add_once(connections, queue, packed)
        return unpack(jobs, answer, self._location)

    async def _add_once(
        self, connections: Connections, queue: QueueRef, packed: Sequence[Any]
    ) -> Any:
        """Add a batch; if the reply is lost, repeat the call, which adds nothing twice.

        Raises:
            StoreBusyError: The second call failed too. Whether the batch was added is not known,
                even if the second error alone would mean that nothing was done.
        """
        with self._producers.batch(queue) as batch:
            sequence = (batch.producer, batch.sequence)
            try:
                return await connections.run("add", queue, *sequence, *packed)
            except WireLostError as lost:
                try:
                    return await connections.run("add", queue, *sequence, *packed)
                except EngineError as error:
                    raise StoreBusyError(f"{lost}; then {error}") from error


def pack(jobs: Sequence[NewJob]) -> list[Any]:
    """Return jobs as arguments: runs of jobs that differ only in id and data.

    Args:
        jobs: The jobs.
    """
    out: list[Any] = []
    for (_, name), run in groupby(jobs, key=lambda job: (id(job.options), job.name)):
        its = list(run)
        first = its[0]
        tags = first.options.tags
        out += (len(its), name, first.options_json, *placing(first.options), len(tags), *tags)
        rule = first.options.deduplication
        if rule is None:
            out.append("")
            for job in its:
                out += (job.id, job.data)
        else:
            out += ("key", rule.ttl_ms or 0, int(rule.extend), int(rule.replace))
            for job in its:
                out += (job.id, job.data, key_of(job))
    return out


def placing(options: JobOptions) -> tuple[Any, ...]:
    """Return the options that place a job: delay, due time, priority, lifo."""
    due = _FROM_NOW if options.delay_ms else options.scheduled_ms or 0
    return options.delay_ms, due, options.priority, int(options.lifo)


def key_of(job: NewJob) -> str:
    """Return a job's deduplication key, or "" if it has none."""
    rule = job.options.deduplication
    if rule is None:
        return ""
    return payload_hash(job.name, job.data) if rule.key is None else rule.key


def unpack(jobs: Sequence[NewJob], answer: Any, location: str) -> list[Added]:
    """Return the result for each job.

    Args:
        jobs: The jobs.
        answer: What the script returned.
        location: The store's URL without a password.
    """
    created, duplicate = AddStatus.CREATED, AddStatus.DUPLICATE
    if answer == _NEW:
        return [Added(job.id, created, location) for job in jobs]
    return [
        Added(what, AddStatus.DEDUPLICATED, location)
        if isinstance(what, str)
        else Added(job.id, created if what == _NEW else duplicate, location)
        for job, what in zip(jobs, answer, strict=True)
    ]
