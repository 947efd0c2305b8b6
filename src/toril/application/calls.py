"""The manager's calls on jobs and queues, which the sync facade offers too."""

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
    """The methods of a manager that add and inspect jobs and control queues."""

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
            name: The job's name.
            data: The payload: any JSON value.
            **options: See `JobOptionArgs`.

        Returns:
            A handle on the job, once it is stored.

        Raises:
            ValidationError: An argument is not valid; the error names the field.
            EngineError: The store failed. After a `StoreBusyError` the job may have been stored.
        """
        return await self.queue(queue).add(name, data, **options)

    async def add_bulk(
        self, queue: str, jobs: Sequence[Mapping[str, Any]], *, chunked: bool = False
    ) -> list[JobHandle[Any]]:
        """Add many jobs in one call: either all of them or none.

        Args:
            queue: The queue's name.
            jobs: A mapping for each job, with `name`, `data` and `options`.
            chunked: Add any number of jobs, in as many calls as needed; see `Queue.add_bulk`.

        Returns:
            A handle on each job, in order.

        Raises:
            ValidationError: A job is not valid, and the error names its index and field; or they
                are too many or too large for one call. Nothing was added.
            PartlyAddedError: Only with `chunked`: a call failed after others had succeeded.
            EngineError: The store failed.
        """
        return await self.queue(queue).add_bulk(jobs, chunked=chunked)

    async def get_job(self, queue: str, job_id: str) -> Job | None:
        """Return a job as it is now; None if it does not exist.

        Args:
            queue: The queue's name.
            job_id: The job's id.
        """
        return await self._existing(queue).get(job_id)

    async def load_payload(self, job: Job) -> Any:
        """Return a job's payload, loading it if the job carries only a claim.

        Args:
            job: The job.

        Raises:
            PayloadLostError: The payload is damaged or no longer in the payload store.
            StoreUnavailableError: The payload cannot be read now.
            ConfigurationError: No payload store is configured, or the payload is larger than the
                payload store allows.
        """
        if not has_claim(job.data_json):
            return job.data
        return codec.decode(await asyncio.to_thread(redeem, job.data_json, self._payloads))

    async def clean_payloads(self, *, older_than: Duration) -> int:
        """Remove old payloads from the payload store, even if a job still needs them.

        Args:
            older_than: The age in seconds. Removes the payloads of each day that ended at least
                this long ago. Choose more than the longest time from adding a job to removing it.

        Returns:
            How many payloads were removed.

        Raises:
            ConfigurationError: No payload store is configured.
            EngineError: Not all payloads could be removed; some may have been.
        """
        age_ms = to_ms(older_than, "older_than")
        if self._payloads is None:
            raise ConfigurationError(
                "no payload_store is configured, so there is nothing to remove"
            )
        return await asyncio.to_thread(self._payloads.remove_older_than, age_ms)

    async def get_queue_metrics(
        self, queue: str, window: Duration = DEFAULT_WINDOW
    ) -> QueueMetrics:
        """Return a queue's metrics: counts now, and rates and durations over a time window.

        Args:
            queue: The queue's name.
            window: The length of the window, in seconds.

        Raises:
            NotFoundError: The queue does not exist.
        """
        await self._store_queues()
        return await self._existing(queue).metrics(window)

    async def get_all_metrics(self, window: Duration = DEFAULT_WINDOW) -> list[QueueMetrics]:
        """Return the metrics of all queues in the store, whether or not they are registered here.

        Args:
            window: The length of the window, in seconds.
        """
        await self._store_queues()
        refs = [info.ref for info in await self.engine.queues.all()]
        found = await self.engine.queues.overview(refs, window_to_ms(window))
        return [summarize(one) for one in found]

    async def pause_queue(self, queue: str) -> None:
        """Stop workers from fetching jobs of a queue. Running jobs continue.

        Raises:
            NotFoundError: The queue does not exist.
        """
        await self._store_queues()
        await self._existing(queue).pause()

    async def resume_queue(self, queue: str) -> None:
        """Let workers fetch jobs of a queue again after a pause.

        Raises:
            NotFoundError: The queue does not exist.
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
            grace: How long a job must have been in the state, in seconds; defaults to a day.
            state: The state.
            limit: The maximum number of jobs to remove, oldest first; None means all.

        Returns:
            How many jobs were removed.

        Raises:
            NotFoundError: The queue does not exist.
            ConflictError: Jobs in that state cannot be removed.
            ValidationError: The state does not exist, or another argument is not valid.
        """
        await self._store_queues()
        return await self._existing(queue).clean(grace, state, limit)

    async def examine(self) -> list[Finding]:
        """Check the store for problems that would lose jobs or slow them down."""
        return await self.engine.examine()

    def _existing(self, name: str) -> Queue:
        """Return a queue for inspection or control, without registering a misspelled name."""
        ref = self._ref(name)
        return self._queues.get(ref) or Queue(
            lambda: self.engine,
            ref,
            bus=self.events,
            results=self._results,
            payloads=self._payloads,
        )

    async def _store_queues(self) -> None:
        """Store the queues that were registered since the last call."""
        while self._limits:
            ref, limits = self._limits.popitem()
            try:
                await self.engine.queues.register(ref, limits, lasting=True)
            except BaseException:
                self._limits[ref] = limits
                raise

    async def _store_missing_queues(self) -> None:
        """Store again the queues that the store has lost since they were registered."""
        refs = list(self._registered)
        if refs:
            found = {one.info.ref for one in await self.engine.queues.overview(refs, 0)}
            self._limits |= {ref: self._registered[ref] for ref in refs if ref not in found}
            await self._store_queues()
