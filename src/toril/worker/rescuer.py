"""Rescues jobs whose worker died, and removes finished jobs that are past their age.

Leases of this process's own jobs can run out too: a handler that does not release the interpreter
stops all threads, and a suspended machine stops everything. Such jobs still run, so their leases
are renewed first, and they are never rescued here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import count

from toril.engine.contract.engine import Engine
from toril.errors import EngineError
from toril.model.events import EventBus, JobStalled
from toril.model.job import QueueRef
from toril.model.state import JobState
from toril.printable import logger
from toril.worker.heartbeat import Heartbeat

_logger = logger("toril.worker")

_FEW = 20  # queues that are all checked each time
_TURNS = 20  # intervals in which each queue is swept once, and checked although nothing is active


class Rescuer:
    """Rescues jobs and removes old ones, once at the start and then at an interval."""

    def __init__(
        self,
        engine: Engine,
        queues: Sequence[QueueRef],
        bus: EventBus,
        heartbeat: Heartbeat,
        *,
        interval: float,
        max_stalls: int,
    ) -> None:
        """Create a rescuer.

        Args:
            engine: Talks to the store.
            queues: The queues to check.
            bus: Receives an event for each stalled job.
            heartbeat: Renews the leases of the worker's own jobs.
            interval: The time between two checks, in seconds.
            max_stalls: How often a job may stall before it counts as poison.
        """
        self._engine = engine
        self._queues = queues
        self._bus = bus
        self._heartbeat = heartbeat
        self._interval = interval
        self._max_stalls = max_stalls
        # Workers share these checks: a thousand workers check no more often than one would.
        self._unless_within_ms = int(interval * 500)

    async def run(self) -> None:
        """Rescue until cancelled."""
        for turn in count():
            await self._heartbeat.catch_up()
            calm = self._queues[turn % _TURNS :: _TURNS]  # each gets a turn now and then
            for queue in await self._active(calm):
                await self._rescue(queue)
            for queue in calm:
                await self._sweep(queue)
            await asyncio.sleep(self._interval)

    async def _active(self, calm: Sequence[QueueRef]) -> Sequence[QueueRef]:
        """Return the queues to check for stalled jobs: with many, those in which jobs are active.

        Args:
            calm: Queues to check in any case.
        """
        if len(self._queues) <= _FEW:
            return self._queues
        try:
            found = await self._engine.queues.overview(self._queues, 0)
        except EngineError as error:
            _logger.warning("could not look for active jobs: %s", error)
            return calm
        active = [one.info.ref for one in found if one.counts[JobState.ACTIVE]]
        return list(dict.fromkeys([*active, *calm]))

    async def _rescue(self, queue: QueueRef) -> None:
        try:
            stalled = await self._engine.rescue(queue, self._max_stalls, self._unless_within_ms)
        except EngineError as error:
            _logger.warning("could not check %s for stalled jobs: %s", queue, error)
            return
        for job in stalled:
            self._bus.emit(JobStalled(queue, job.id, job.poisoned))
        if stalled:
            poisoned = sum(job.poisoned for job in stalled)
            _logger.warning(
                "%d jobs of %s stalled: %d will run again, %d stalled too often and will fail",
                len(stalled),
                queue,
                len(stalled) - poisoned,
                poisoned,
            )

    async def _sweep(self, queue: QueueRef) -> None:
        try:
            removed = await self._engine.queues.sweep(queue)
        except EngineError as error:
            _logger.warning("could not remove old jobs of %s: %s", queue, error)
            return
        if removed:
            _logger.debug("%d finished jobs of %s were past their age", removed, queue)
