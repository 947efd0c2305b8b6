"""A worker: sets up the parts that run jobs, and shuts them down again."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Mapping, Sequence
from typing import Any

from toril.blocking import in_thread
from toril.clock import Clock, SystemClock
from toril.engine.contract.engine import Engine
from toril.errors import ConfigurationError
from toril.model.durations import to_ms
from toril.model.events import EventBus
from toril.model.ids import new_id
from toril.model.settlement import SettlementHook
from toril.model.state import READY
from toril.printable import logger
from toril.queues.queue import Queue
from toril.worker.attempt import Attempt, Stop
from toril.worker.executor import Executor
from toril.worker.handlers import Routes
from toril.worker.heartbeat import Heartbeat
from toril.worker.middleware import Middleware
from toril.worker.processes import ProcessPool
from toril.worker.progress import Reports
from toril.worker.pump import Pump, Shared
from toril.worker.rescuer import Rescuer
from toril.worker.retry_delay import BackoffStrategy, RetryDelays
from toril.worker.script import refuse_while_loading
from toril.worker.settings import WorkerSettings
from toril.worker.shortage import Shortage
from toril.worker.slots import Slots
from toril.worker.statistics import Statistics
from toril.worker.threads import Threads
from toril.worker.unhandled import Unhandled

_logger = logger("toril.worker")

_DRAINED_CHECK_SECONDS = 0.05
_SETTLE_SECONDS = 3.0


class Worker:
    """Runs the jobs of some queues until it is stopped."""

    def __init__(
        self,
        engine: Engine,
        queues: Sequence[Queue],
        settings: WorkerSettings,
        *,
        bus: EventBus,
        middleware: Sequence[Middleware] = (),
        strategies: Mapping[str, BackoffStrategy] | None = None,
        hooks: Sequence[SettlementHook] = (),
        clock: Clock | None = None,
    ) -> None:
        """Create a worker.

        Args:
            engine: Talks to the store.
            queues: The queues to serve.
            settings: The worker's settings.
            bus: Receives events.
            middleware: Wraps every handler; the first one is the outermost.
            strategies: Custom backoff strategies by name.
            hooks: Each may add follow-ups to a settlement.
            clock: Measures the time between renewals; defaults to the system's clock.

        Raises:
            ConfigurationError: A queue has no handler, or a process handler cannot be found by
                another process, or this process is only importing a handler.
        """
        refuse_while_loading()
        self._routes = [_routes_of(queue) for queue in queues]
        self._pid = os.getpid()
        self.id = _new_worker_id()
        self.statistics = Statistics()
        self.unhandled: dict[str, int] = {}
        self.settings = settings
        self._engine = engine
        self._queues = queues
        self._bus = bus
        self._middleware = middleware
        self._retry_delay = RetryDelays(strategies or {})
        self._lease_ms = to_ms(settings.lease, "lease")
        self._hooks = hooks
        self._clock = clock or SystemClock()
        self._pumps: list[Pump] = []
        self._stop = asyncio.Event()
        self._force = asyncio.Event()
        self._quiet = asyncio.Event()

    def stop(self, *, force: bool = False) -> None:
        """Fetch no more jobs, let running jobs finish within the grace period, and end.

        Args:
            force: Do not wait for running jobs.
        """
        self._stop.set()
        if force:
            self._force.set()

    @property
    def running(self) -> int:
        """How many jobs are running now."""
        return sum(len(pump.in_hand.running) for pump in self._pumps)

    @property
    def forsaken(self) -> int:
        """After the worker has ended: how many handlers are still running anyway."""
        return self.running

    async def run(self, *, burst: bool = False) -> None:
        """Run jobs until the worker is stopped.

        Args:
            burst: Stop when no job is running, ready, or due within a minute.
        """
        settings = self.settings
        heartbeat = self._heartbeat()
        reports = Reports(self._engine, asyncio.get_running_loop())
        threads = Threads(settings.concurrency)
        processes = ProcessPool(
            settings.processes,
            max_jobs=settings.max_jobs_per_process,
            max_memory=settings.max_memory_per_process,
        )
        unhandled = Unhandled(to_ms(settings.handler_wait, "handler_wait"), burst=burst)
        shortage = Shortage(self._look_again)
        executor = Executor(
            reports=reports,
            middleware=self._middleware,
            threads=threads,
            processes=processes,
            unhandled=unhandled,
            shortage=shortage,
            cancel_grace=to_ms(settings.cancel_grace, "cancel_grace") / 1000,
        )
        shared = self._shared(executor, heartbeat, reports, shortage)
        self._pumps = [
            Pump(queue, routes, shared)
            for queue, routes in zip(self._queues, self._routes, strict=True)
        ]
        heartbeat.start()
        try:
            await self._work(heartbeat, burst=burst)
        finally:
            executor.close()
            shortage.close()
            threads.close()
            await processes.close()
            await in_thread(heartbeat.stop)
        self.unhandled = dict(unhandled.by_name)

    def _heartbeat(self) -> Heartbeat:
        loop = asyncio.get_running_loop()
        return Heartbeat(
            self._engine.keeper(),
            self._lease_ms,
            self._clock,
            location=self._engine.location,
            on_lost=lambda attempts: self._from_heartbeat(loop, attempts, Stop.LEASE_LOST),
            on_cancelled=lambda attempts: self._from_heartbeat(loop, attempts, Stop.CANCEL),
        )

    def _look_again(self) -> None:
        for pump in self._pumps:
            pump.look_again()

    def _shared(
        self, executor: Executor, heartbeat: Heartbeat, reports: Reports, shortage: Shortage
    ) -> Shared:
        if os.getpid() != self._pid:  # forked meanwhile, perhaps more than once
            self.id = _new_worker_id()
        return Shared(
            worker_id=self.id,
            lease_ms=self._lease_ms,
            clock=self._clock,
            slots=Slots(self.settings.concurrency),
            executor=executor,
            heartbeat=heartbeat,
            reports=reports,
            retry_delay=self._retry_delay,
            hooks=self._hooks,
            bus=self._bus,
            statistics=self.statistics,
            last_chance=max(1, self.settings.max_stalls),
            shortage=shortage,
            quiet=self._quiet,
        )

    def _rescuer(self, heartbeat: Heartbeat) -> Rescuer:
        return Rescuer(
            self._engine,
            [queue.ref for queue in self._queues],
            self._bus,
            heartbeat,
            interval=self._lease_ms / 2000,
            max_stalls=self.settings.max_stalls,
        )

    async def _work(self, heartbeat: Heartbeat, *, burst: bool) -> None:
        background = [
            asyncio.create_task(self._rescuer(heartbeat).run()),
            asyncio.create_task(self._report()),
        ]
        if burst:
            background.append(asyncio.create_task(self._stop_when_drained()))
        pumps = [asyncio.create_task(pump.run()) for pump in self._pumps]
        stopped = asyncio.create_task(self._stop.wait())
        try:
            everything: list[asyncio.Task[Any]] = [stopped, *pumps, *background]
            await asyncio.wait(everything, return_when=asyncio.FIRST_COMPLETED)
            for pump in self._pumps:
                pump.stop_fetching()
            await self._finish(pumps)
            await asyncio.wait(pumps)
            for ended in (*pumps, *background):
                if ended.done() and not ended.cancelled():
                    ended.result()  # raises the error of a task that failed
        finally:
            for task in (stopped, *background, *pumps):
                task.cancel()
            await asyncio.gather(stopped, *background, *pumps, return_exceptions=True)

    async def _finish(self, pumps: Sequence[asyncio.Task[None]]) -> None:
        """Let running jobs finish within the grace period, then stop and release them."""
        grace = to_ms(self.settings.grace, "grace") / 1000
        if self.running:
            _logger.info("stopping: %d jobs have %g s to finish", self.running, grace)
        force = asyncio.create_task(self._force.wait())
        finished = asyncio.gather(*pumps, return_exceptions=True)
        ends: list[asyncio.Future[Any]] = [force, finished]
        await asyncio.wait(ends, timeout=grace, return_when=asyncio.FIRST_COMPLETED)
        force.cancel()
        if not finished.done():
            _logger.warning("releasing %d jobs that did not finish", self.running)
            for pump in self._pumps:
                pump.in_hand.stop_all(Stop.SHUTDOWN)
            await self._wait_for_settlements(finished, pumps)

    async def _wait_for_settlements(
        self,
        finished: asyncio.Future[list[BaseException | None]],
        pumps: Sequence[asyncio.Task[None]],
    ) -> None:
        """Wait until all jobs are settled, but not for handlers that do not stop."""
        loop = asyncio.get_running_loop()
        patience = to_ms(self.settings.cancel_grace, "cancel_grace") / 1000 + _SETTLE_SECONDS
        give_up = loop.time() + patience
        while not finished.done():
            if loop.time() > give_up:  # the store accepts no settlements
                _logger.error("could not release some jobs; they run when their leases run out")
                for task in pumps:
                    task.cancel()
            attempts = [a for pump in self._pumps for a in pump.in_hand.running]
            if attempts and all(a.resolved for a in attempts):
                for pump in self._pumps:
                    pump.forsake()
            await asyncio.wait([finished], timeout=_DRAINED_CHECK_SECONDS)

    async def _stop_when_drained(self) -> None:
        while not await self._is_drained():
            self._quiet.clear()
            with contextlib.suppress(TimeoutError):  # other workers may have drained the store
                async with asyncio.timeout(_DRAINED_CHECK_SECONDS):
                    await self._quiet.wait()
        self.stop()
        await asyncio.Event().wait()  # until the worker cancels this task

    async def _is_drained(self) -> bool:
        """Whether no pump has work left and the store has no ready jobs that are still unknown."""
        if not all(pump.drained for pump in self._pumps):
            return False
        refs = [queue.ref for queue in self._queues]
        for found in await self._engine.queues.overview(refs, 0):
            if not found.info.paused and any(found.counts[state] for state in READY):
                return False
        return all(pump.drained for pump in self._pumps)

    async def _report(self) -> None:
        """Log statistics at an interval, if there is anything to report."""
        every = to_ms(self.settings.report_every, "report_every") / 1000
        last = 0
        while True:
            await asyncio.sleep(every or 3600)
            done = self.statistics
            if every and (done.ended != last or self.running):
                _logger.info(
                    "%d jobs completed, %d failed, %d attempts retried; %.1f a second, %d running",
                    done.completed,
                    done.failed,
                    done.retried,
                    (done.ended - last) / every,
                    self.running,
                )
            last = done.ended

    def _from_heartbeat(
        self, loop: asyncio.AbstractEventLoop, attempts: list[Attempt], why: Stop
    ) -> None:
        """Stop attempts on the event loop; called from the heartbeat's thread."""
        with contextlib.suppress(RuntimeError):  # the event loop is closed
            loop.call_soon_threadsafe(self._stop_attempts, attempts, why)

    def _stop_attempts(self, attempts: list[Attempt], why: Stop) -> None:
        for pump in self._pumps:
            for attempt in attempts:
                if attempt in pump.in_hand.running:
                    pump.in_hand.stop(attempt, why)


def _new_worker_id() -> str:
    return f"{socket.gethostname()}-{os.getpid()}-{new_id()[-6:]}".replace(":", "-")


def _routes_of(queue: Queue) -> Routes:
    if not queue.has_handlers:
        raise ConfigurationError(
            f"queue {str(queue)!r} has no handler: add a task with @queue.task, "
            "or a processor with manager.register_processor"
        )
    return Routes(queue)
