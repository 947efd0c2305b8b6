"""Claim check: a payload over a size goes to a store before its job does.

A payload without a job is rubbish that is removed by its age; a job without its payload
would be a loss. So the payload is written first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from msgspec.structs import replace

from toril.model.codec import payload_hash
from toril.model.job import NewJob
from toril.model.job_options import encode_options
from toril.payloads import PayloadStore

_AT_ONCE = 8
_MOST_PER_CHARACTER = 4  # bytes in UTF-8


class Claims:
    """Gives jobs claims for payloads that are too large for them.

    Attributes:
        small: No text of so many characters is too large, whatever they are.
    """

    def __init__(self, store: PayloadStore, most: int) -> None:
        """Prepare.

        Args:
            store: Where large payloads go.
            most: The largest payload that stays with its job, in bytes.
        """
        self._store = store
        self._most = most
        self.small = most // _MOST_PER_CHARACTER

    async def check_in(self, jobs: Sequence[NewJob]) -> Sequence[NewJob]:
        """Return jobs of which those with large payloads carry claims.

        Raises:
            EngineError: A payload could not be kept.
        """
        large = {job.data for job in jobs if self._is_large(job.data)}
        if not large:
            return jobs
        claims = await self._put(list(large))
        return [
            await _with_claim(job, claims[job.data]) if job.data in large else job for job in jobs
        ]

    async def check_in_data(self, data: str) -> str:
        """Return data for a job: the same, or a claim on them.

        Raises:
            EngineError: They could not be kept.
        """
        return (await self._put([data]))[data] if self._is_large(data) else data

    def _is_large(self, data: str) -> bool:
        return len(data) > self.small and (
            len(data) > self._most or (not data.isascii() and len(data.encode()) > self._most)
        )

    async def _put(self, texts: Sequence[str]) -> dict[str, str]:
        """Keep payloads, a few at once; what cannot be kept stops the rest."""
        room = asyncio.Semaphore(_AT_ONCE)

        async def put(text: str) -> str:
            async with room:
                return await asyncio.to_thread(self._store.put, text)

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(put(text)) for text in texts]
        except ExceptionGroup as errors:
            first = errors.exceptions[0]
            raise first from first.__cause__
        return {text: task.result() for text, task in zip(texts, tasks, strict=True)}


async def _with_claim(job: NewJob, data: str) -> NewJob:
    """Return a job with a claim; one that counts by its content still counts by the payload."""
    rule = job.options.deduplication
    if rule is None or rule.key is not None:
        return replace(job, data=data)
    key = await asyncio.to_thread(payload_hash, job.name, job.data)
    rule = replace(rule, key=key)
    options = replace(job.options, deduplication=rule)
    return replace(job, data=data, options=options, options_json=encode_options(options))
