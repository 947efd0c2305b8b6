"""What an application does with jobs and queues; the sync facade is made from this class."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Unpack

from toril.application.registration import Registration
from toril.engine.contract.diagnosis import Finding
from toril.errors import ConfigurationError
from toril.model import codec
from toril.model.claim import has_claim
from toril.model.durations import DEFAULT_GRACE, Duration, to_ms
from toril.model.job import DEFAULT_NAME, Job
from toril.model.job_options import JobOptionArgs
from toril.model.state import JobState
from toril.payloads import redeem
from toril.queues.handle import JobHandle
from toril.queues.metrics import DEFAULT_WINDOW, QueueMetrics, summarize, window_to_ms
from toril.queues.queue import Queue


class Calls(Registration):
    """The part of a manager that adds jobs, looks at them and controls queues."""

    async def add_job(
        self,
        queue: str,
        name: str = DEFAULT_NAME,
        data: Any = None,
        **options: Unpack[JobOptionArgs],
    ) -> JobHandle[Any]:
        """Add a job.

        Args:
            queue: The queue's name.
            name: What kind of work it is.
            data: The payload: anything JSON.
            **options: See `JobOptionArgs`.

        Returns:
            A handle on the job, once it is stored.

        Raises:
            ValidationError: Something is refused; the error names the field.
            EngineError: The store failed. After a `StoreBusyError` the job may be there.
        """
        return await self.queue(queue).add(name, data, **options)

    async def add_bulk(self, queue: str, jobs: Sequence[Mapping[str, Any]]) -> list[JobHandle[Any]]:
        """Add many jobs in one call: all of them, or none.

        Args:
            queue: The queue's name.
            jobs: For each a mapping with `name`, `data` and `options`.

        Returns:
            A handle on each, in order.

        Raises:
            ValidationError: One is refused; the error names its place and field.
            EngineError: The store failed.
        """
        return await self.queue(queue).add_bulk(jobs)

    async def get_job(self, queue: str, job_id: str) -> Job | None:
        """Return a job as it is now; None where it is not there.

        Args:
            queue: The queue's name.
            job_id: The job.
        """
        return await self._existing(queue).get(job_id)

    async def load_payload(self, job: Job) -> Any:
        """Return a job's payload, also where the job carries only a claim on it.

        Args:
            job: The job.

        Raises:
            PayloadLostError: It is not in the store of payloads any more, or damaged.
            StoreUnavailableError: It cannot be read now.
            ConfigurationError: There is no store of payloads here, or it allows only smaller ones.
        """
        if not has_claim(job.data_json):
            return job.data
        return codec.decode(await asyncio.to_thread(redeem, job.data_json, self._payloads))

    async def clean_payloads(self, *, older_than: Duration) -> int:
        """Remove large payloads by their age, whether a job still needs them or not.

        Args:
            older_than: Those of days that ended so long ago, in seconds: more than the longest
                time from a job's addition to its removal.

        Returns:
            How many were removed.

        Raises:
            ConfigurationError: There is no store of payloads here.
            EngineError: They could not be removed; some may have been.
        """
        age_ms = to_ms(older_than, "older_than")
        if self._payloads is None:
            raise ConfigurationError("no payload_store is set: there are no payloads to remove")
        return await asyncio.to_thread(self._payloads.remove_older_than, age_ms)

    async def get_queue_metrics(
        self, queue: str, window: Duration = DEFAULT_WINDOW
    ) -> QueueMetrics:
        """Return a queue's numbers now, and over the time before.

        Args:
            queue: The queue's name.
            window: How far back, in seconds.

        Raises:
            NotFoundError: There is no such queue.
        """
        await self._store_queues()
        return await self._existing(queue).metrics(window)

    async def get_all_metrics(self, window: Duration = DEFAULT_WINDOW) -> list[QueueMetrics]:
        """Return the numbers of every queue in the store, registered here or not.

        Args:
            window: How far back, in seconds.
        """
        await self._store_queues()
        refs = [info.ref for info in await self.engine.queues.all()]
        found = await self.engine.queues.overview(refs, window_to_ms(window))
        return [summarize(one) for one in found]

    async def pause_queue(self, queue: str) -> None:
        """Let workers take nothing more from a queue. Running jobs go on.

        Raises:
            NotFoundError: There is no such queue.
        """
        await self._store_queues()
        await self._existing(queue).pause()

    async def resume_queue(self, queue: str) -> None:
        """Undo a pause.

        Raises:
            NotFoundError: There is no such queue.
        """
        await self._store_queues()
        await self._existing(queue).resume()

    async def clean_queue(
        self,
        queue: str,
        grace: Duration = DEFAULT_GRACE,
        state: JobState | str = JobState.COMPLETED,
        limit: int | None = None,
    ) -> int:
        """Remove jobs that have been in a state for a while.

        Args:
            queue: The queue's name.
            grace: At least this long, in seconds; a day unless given.
            state: The state.
            limit: How many at most, oldest first; None is all.

        Returns:
            How many were removed.

        Raises:
            NotFoundError: There is no such queue.
            ConflictError: Jobs of that state cannot be removed.
        """
        await self._store_queues()
        return await self._existing(queue).clean(grace, state, limit)

    async def examine(self) -> list[Finding]:
        """Look for what would lose jobs or slow them down."""
        return await self.engine.examine()

    def _existing(self, name: str) -> Queue:
        """Return a queue to look at or control, without creating one of a misspelt name."""
        ref = self._ref(name)
        return self._queues.get(ref) or Queue(
            lambda: self.engine,
            ref,
            bus=self.events,
            results=self._results,
            payloads=self._payloads,
        )

    async def _store_queues(self) -> None:
        """Store the queues that were registered since the last time."""
        while self._limits:
            ref, limits = self._limits.popitem()
            try:
                await self.engine.queues.register(ref, limits)
            except BaseException:
                self._limits[ref] = limits
                raise
