"""How many jobs one call may add, because the store does nothing else meanwhile."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from toril.engine.contract.rules import MAX_BATCH, MAX_BATCH_BYTES
from toril.errors import ValidationError
from toril.model.job import NewJob

_CHUNK = 1000
_CHUNK_BYTES = 4 << 20


def check_batch(jobs: Sequence[NewJob]) -> None:
    """Check that jobs can be added in one call.

    Raises:
        ValidationError: They are too many, or too large.
    """
    weight = len(jobs) + sum(len(job.options.tags) for job in jobs)
    if weight > MAX_BATCH:
        tags = weight - len(jobs)
        what = f"{len(jobs):,} jobs" + (f" with {tags:,} tags" if tags else "")
        raise ValidationError(
            "jobs",
            f"{what} are more than the {MAX_BATCH:,} that one call adds; nothing was added. "
            "Use chunked=True to add them in several calls",
        )
    size = sum(_size(job) for job in jobs)
    if size > MAX_BATCH_BYTES:
        raise ValidationError(
            "jobs",
            f"{size:,} bytes of payloads are more than the {MAX_BATCH_BYTES:,} that one call adds; "
            "nothing was added. Use chunked=True to add them in several calls",
        )


def chunks_of(jobs: Sequence[NewJob]) -> Iterator[Sequence[NewJob]]:
    """Yield jobs in chunks for calls of their own, in order."""
    first = weight = size = 0
    for index, job in enumerate(jobs):
        weight += 1 + len(job.options.tags)
        size += _size(job)
        if index > first and (weight > _CHUNK or size > _CHUNK_BYTES):
            yield jobs[first:index]
            first, weight, size = index, 1 + len(job.options.tags), _size(job)
    if first < len(jobs):
        yield jobs[first:]


def _size(job: NewJob) -> int:
    return len(job.data) if job.data.isascii() else len(job.data.encode())
