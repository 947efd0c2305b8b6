"""Claim check: a payload above a size goes to the payload store before its job is stored.

The payload is written first because a payload without a job is only garbage, which is removed by
age, whereas a job without its payload would be lost work.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from msgspec.structs import replace

from toril.model.codec import payload_hash
from toril.model.job import NewJob
from toril.model.job_options import encode_options
from toril.payloads import PayloadStore

_CONCURRENT_WRITES = 8
_MAX_BYTES_PER_CHARACTER = 4  # in UTF-8


class Claims:
    """Replaces payloads that are too large for their jobs with claims.

    Attributes:
        small: A text of at most this many characters is never too large.
    """

    def __init__(self, store: PayloadStore, most: int) -> None:
        """Create a claim check.

        Args:
            store: Stores large payloads.
            most: The largest payload that stays with its job, in bytes.
        """
        self._store = store
        self._most = most
        self.small = most // _MAX_BYTES_PER_CHARACTER

    async def check_in(self, jobs: Sequence[NewJob]) -> Sequence[NewJob]:
        """Return the jobs, with claims in place of large payloads.

        Raises:
            EngineError: A payload could not be stored.
        """
        large = {job.data for job in jobs if self._is_large(job.data)}
        if not large:
            return jobs
        claims = await self._put(list(large))
        return [
            await _with_claim(job, claims[job.data]) if job.data in large else job for job in jobs
        ]

    async def check_in_data(self, data: str) -> str:
        """Return a job's payload, or a claim on it if it is large.

        Raises:
            EngineError: The payload could not be stored.
        """
        return (await self._put([data]))[data] if self._is_large(data) else data

    def _is_large(self, data: str) -> bool:
        return len(data) > self.small and (
            len(data) > self._most or (not data.isascii() and len(data.encode()) > self._most)
        )

    async def _put(self, texts: Sequence[str]) -> dict[str, str]:
        """Store payloads, a few at a time, and return their claims; an error stops the rest."""
        limit = asyncio.Semaphore(_CONCURRENT_WRITES)

        async def put(text: str) -> str:
            async with limit:
                return await asyncio.to_thread(self._store.put, text)

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(put(text)) for text in texts]
        except ExceptionGroup as errors:
            first = errors.exceptions[0]
            raise first from first.__cause__
        return {text: task.result() for text, task in zip(texts, tasks, strict=True)}


async def _with_claim(job: NewJob, data: str) -> NewJob:
    """Return a job with a claim; deduplication by content still uses the original payload."""
    rule = job.options.deduplication
    if rule is None or rule.key is not None:
        return replace(job, data=data)
    key = await asyncio.to_thread(payload_hash, job.name, job.data)
    rule = replace(rule, key=key)
    options = replace(job.options, deduplication=rule)
    return replace(job, data=data, options=options, options_json=encode_options(options))
