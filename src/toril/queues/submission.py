"""Adds jobs to a queue: claims for large payloads, natural batching, and handles."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any
from weakref import WeakKeyDictionary

from toril.engine.contract.engine import Engine
from toril.engine.contract.hot_path import Added, AddStatus
from toril.errors import EngineError, PartlyAddedError, ValidationError
from toril.model import codec
from toril.model.claim import BEGINNING, KEY
from toril.model.events import EventBus, JobAdded
from toril.model.job import NewJob, QueueRef
from toril.payloads import PayloadStore
from toril.queues.batch_size import check_batch, chunks_of
from toril.queues.batching import Batcher
from toril.queues.claim_check import Claims
from toril.queues.handle import JobHandle
from toril.queues.results import Results


class Submission:
    """Adds jobs to one queue.

    Attributes:
        ref: The queue's prefix and name.
        max_data_bytes: The largest payload that is stored with its job, and the largest result.
        max_payload_bytes: The largest payload, wherever it is stored.
        payloads: The payload store for larger payloads; None if there is none.
        results: Waits for results.
    """

    def __init__(
        self,
        store: Callable[[], Engine],
        ref: QueueRef,
        *,
        bus: EventBus,
        results: Results,
        max_data_bytes: int,
        payloads: PayloadStore | None,
    ) -> None:
        """Create a submission; takes the same arguments as `Queue`."""
        self._store = store
        self._bus = bus
        self.ref = ref
        self.results = results
        self.max_data_bytes = max_data_bytes
        self.max_payload_bytes = max_data_bytes if payloads is None else payloads.max_bytes
        self.payloads = payloads
        self._claims = (
            None if payloads is None else Claims(payloads, min(payloads.threshold, max_data_bytes))
        )
        # Futures belong to one event loop, and the sync facade has its own loop.
        self._batchers: WeakKeyDictionary[asyncio.AbstractEventLoop, Batcher] = WeakKeyDictionary()

    @property
    def engine(self) -> Engine:
        """The engine that stores the queue's jobs."""
        return self._store()

    def encode(self, data: Any) -> str:
        """Encode a payload as JSON, within the queue's limit.

        Raises:
            ValidationError: The payload cannot be encoded as JSON, is too large, or looks like a
                claim.
        """
        text = codec.encode(data, "data", self.max_payload_bytes)
        if text.startswith(BEGINNING):
            raise ValidationError(
                f"data.{KEY}",
                "must not be the first key of a payload: it marks a claim on a payload in the "
                "payload store",
            )
        return text

    async def check_in(self, data: str) -> str:
        """Return a payload, or a claim on it if it is large.

        Raises:
            EngineError: The payload could not be stored.
        """
        return data if self._claims is None else await self._claims.check_in_data(data)

    async def submit(self, job: NewJob, result_type: Any = Any) -> JobHandle[Any]:
        """Add one job, in a batch with others that are added at the same time.

        Args:
            job: The job.
            result_type: The type to which the result is converted.

        Raises:
            EngineError: The store failed.
        """
        if self._claims is not None and len(job.data) > self._claims.small:
            (job,) = await self._claims.check_in([job])
        loop = asyncio.get_running_loop()
        batcher = self._batchers.get(loop)
        if batcher is None:
            batcher = self._batchers[loop] = Batcher(self.engine, self.ref)
        added = await batcher.add(job)
        if self._bus.wants(JobAdded):
            self._announce(job, added)
        return JobHandle(self, added, result_type)

    async def submit_all(self, jobs: Sequence[NewJob]) -> list[JobHandle[Any]]:
        """Add jobs in one call: either all of them or none.

        Args:
            jobs: The jobs.

        Raises:
            ValidationError: They are too many for one call, or too large.
            EngineError: The store failed.
        """
        if not jobs:
            return []
        if self._claims is not None:
            jobs = await self._claims.check_in(jobs)
        check_batch(jobs)
        added = await self.engine.add(self.ref, jobs)
        if self._bus.wants(JobAdded):
            for job, answer in zip(jobs, added, strict=True):
                self._announce(job, answer)
        return [JobHandle(self, answer) for answer in added]

    async def submit_in_chunks(self, jobs: Sequence[NewJob]) -> list[JobHandle[Any]]:
        """Add jobs in as many calls as needed, in order.

        Args:
            jobs: The jobs.

        Raises:
            PartlyAddedError: A call failed after others had succeeded.
            EngineError: The first call failed.
        """
        handles: list[JobHandle[Any]] = []
        for chunk in chunks_of(jobs):
            try:
                handles += await self.submit_all(chunk)
            except EngineError as error:
                if not handles:
                    raise
                raise PartlyAddedError(handles, len(jobs), str(error)) from error
        return handles

    def handle(self, job_id: str) -> JobHandle[Any]:
        """Return a handle on a job by its id, without checking that the job exists."""
        return JobHandle(self, Added(job_id, AddStatus.DUPLICATE, self.engine.location))

    def _announce(self, job: NewJob, added: Added) -> None:
        self._bus.emit(JobAdded(self.ref, added.id, job.name, added.status is AddStatus.CREATED))
