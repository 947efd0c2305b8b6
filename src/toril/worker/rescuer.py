"""Taking jobs from workers that died."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from toril.engine.contract.engine import Engine
from toril.errors import EngineError
from toril.model.events import EventBus, JobStalled
from toril.model.job import QueueRef

_logger = logging.getLogger("toril.worker")


class Rescuer:
    """Looks for leases that ran out, at the start and then at an interval."""

    def __init__(
        self,
        engine: Engine,
        queues: Sequence[QueueRef],
        bus: EventBus,
        *,
        interval: float,
        max_stalls: int,
    ) -> None:
        """Prepare.

        Args:
            engine: Where the jobs are.
            queues: Which to look at.
            bus: Told of each job that stalled.
            interval: Seconds between two looks.
            max_stalls: How often one job may stall before it is poison.
        """
        self._engine = engine
        self._queues = queues
        self._bus = bus
        self._interval = interval
        self._max_stalls = max_stalls
        # Workers share the looking: a thousand of them look no more often than one would.
        self._unless_within_ms = int(interval * 500)

    async def run(self) -> None:
        """Rescue until cancelled."""
        while True:
            for queue in self._queues:
                await self._rescue(queue)
            await asyncio.sleep(self._interval)

    async def _rescue(self, queue: QueueRef) -> None:
        try:
            stalled = await self._engine.rescue(queue, self._max_stalls, self._unless_within_ms)
        except EngineError as error:
            _logger.warning("stalled jobs of %s could not be looked for: %s", queue, error)
            return
        for job in stalled:
            self._bus.emit(JobStalled(queue, job.id, job.poisoned))
        if stalled:
            poisoned = sum(job.poisoned for job in stalled)
            _logger.warning(
                "%d jobs of %s had lost their worker: %d run again, %d did so too often and fail",
                len(stalled),
                queue,
                len(stalled) - poisoned,
                poisoned,
            )
