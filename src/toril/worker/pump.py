"""The pump of one queue: settles finished jobs and fetches new ones in one call.

Jobs that finish while an exchange is in flight are settled by the next one, which also requests
as many jobs as there are free slots. An idle queue therefore reacts at once, a busy queue moves
hundreds of jobs per call, and nothing waits for a timer. A worker with many slots keeps two
exchanges in flight, each for half of its slots: while the store processes one, the jobs of the
other run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from toril.clock import Clock
from toril.engine.contract.hot_path import Fetch
from toril.engine.contract.rules import MOST_EXCHANGED
from toril.errors import EngineError
from toril.model.events import EventBus
from toril.model.outcome import RetryDelay
from toril.model.settlement import SettlementHook
from toril.queues.queue import Queue
from toril.worker.executor import Executor
from toril.worker.handlers import Routes
from toril.worker.heartbeat import Heartbeat
from toril.worker.idle import Idle
from toril.worker.in_hand import InHand
from toril.worker.progress import Reports
from toril.worker.publisher import Publisher
from toril.worker.settled import Done, Settlements
from toril.worker.shortage import Shortage
from toril.worker.slots import Slots
from toril.worker.statistics import Statistics

_MAX_IN_FLIGHT = 2  # exchanges at once
_SPLIT_FROM = 64  # slots
_SPLIT_FROM_REMOTE = 8  # slots, if the store runs in another process
_WORTH_A_CALL = 2  # jobs to settle or to request


class Shared(NamedTuple):
    """The parts of a worker that all its pumps share.

    Attributes:
        worker_id: The worker's id.
        lease_ms: How long a lease lasts unless it is renewed, in milliseconds.
        clock: Approximates the store's time.
        slots: The worker's slots.
        executor: Runs attempts.
        heartbeat: Renews leases.
        reports: Collects progress and log lines from handlers.
        retry_delay: Computes the delay before a retry.
        hooks: Each may add follow-ups to a settlement.
        bus: Receives events.
        statistics: The worker's counters.
        last_chance: The number of stalls from which a job is on its last chance.
        shortage: Whether the host lacks what it takes to start handlers.
        quiet: Set when a pump has nothing in hand.
    """

    worker_id: str
    lease_ms: int
    clock: Clock
    slots: Slots
    executor: Executor
    heartbeat: Heartbeat
    reports: Reports
    retry_delay: RetryDelay
    hooks: Sequence[SettlementHook]
    bus: EventBus
    statistics: Statistics
    last_chance: int
    shortage: Shortage
    quiet: asyncio.Event


class Pump:
    """Moves one queue's jobs through a worker.

    Attributes:
        in_hand: The attempts whose handlers are running or about to run.
    """

    def __init__(self, queue: Queue, routes: Routes, shared: Shared) -> None:
        """Create a pump.

        Args:
            queue: The queue.
            routes: The queue's handlers.
            shared: The parts that the worker's pumps share.
        """
        self._engine = engine = queue.engine
        self._ref = ref = queue.ref
        self._shared = shared
        self._loop = asyncio.get_running_loop()
        self._slots = slots = shared.slots
        remote = engine.capabilities.remote
        self._is_narrow = slots.total < (_SPLIT_FROM_REMOTE if remote else _SPLIT_FROM)
        self._chunk = slots.total if self._is_narrow else min(-(-slots.total // 2), MOST_EXCHANGED)
        self._poke = asyncio.Event()
        self._idle = Idle(engine, ref, shared.clock, self.look_again)
        publisher = Publisher(ref, shared.bus, shared.statistics)
        self._settlements = Settlements(
            engine,
            ref,
            hooks=shared.hooks,
            retry_delay=shared.retry_delay,
            heartbeat=shared.heartbeat,
            publisher=publisher,
            changed=self._poke.set,
        )
        self.in_hand = self._in_hand(routes, publisher)
        self._stopping = False
        self._is_exchanging = False  # in the pump's own task, as with few slots
        self._forsaken = False
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._carrier: asyncio.Task[None] | None = None
        self._in_flight: set[asyncio.Task[None]] = set()
        slots.join(self)

    def _in_hand(self, routes: Routes, publisher: Publisher) -> InHand:
        shared = self._shared
        return InHand(
            run=lambda attempt: shared.executor.run(attempt, routes, self.in_hand.on_end),
            slots=shared.slots,
            stalls=shared.last_chance,
            executor=shared.executor,
            heartbeat=shared.heartbeat,
            publisher=publisher,
            resolved=self._settlements.resolved,
            ended=self._on_end,
            spawns=not self._is_narrow,
        )

    # The worker's interface

    @property
    def hungry(self) -> bool:
        """Whether the pump expects to find work for a free slot."""
        idle = self._idle
        resting = idle.is_resting or self._shared.shortage.is_resting
        closed = self._stopping or self._settlements.are_failing
        return not (idle.is_idle or resting or closed)

    @property
    def drained(self) -> bool:
        """Whether the pump has nothing in hand and no job is due within the burst horizon."""
        calls = self._is_exchanging or self._in_flight
        in_hand = self.in_hand.running or self._settlements.to_send or calls
        return not in_hand and not self._idle.has_work_soon

    def poke(self) -> None:
        """Make the pump check again whether it has something to do."""
        self._poke.set()

    def look_again(self) -> None:
        """Check whether the pump is still hungry, or is hungry again."""
        self._slots.update(self)
        self._poke.set()

    def stop_fetching(self) -> None:
        """Fetch no more jobs, and end once the jobs in hand have finished."""
        self._stopping = True
        self._slots.update(self)
        self._idle.stop()
        self._poke.set()

    def forsake(self) -> None:
        """Stop waiting for handlers that are still running although their jobs are settled."""
        self._forsaken = True
        self._poke.set()

    # The loop

    async def run(self) -> None:
        """Fetch and settle jobs until the pump was stopped and all jobs in hand have finished."""
        self._spawn_carrier()
        try:
            await self._ended
            await self._settlements.flushed()
        finally:
            self._idle.stop()
            for task in (self._carrier, *self._in_flight):
                if task is not None:
                    task.cancel()

    def _spawn_carrier(self) -> None:
        """Continue the loop in a new task, because an attempt now owns the previous one."""
        self._carrier = self._loop.create_task(self._run_loop())
        self._carrier.add_done_callback(self._on_task_ended)

    def _on_task_ended(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        # Python raises GeneratorExit in a coroutine that is garbage-collected while it waits.
        if error is None or isinstance(error, GeneratorExit) or self._ended.done():
            return
        self._ended.set_exception(error)

    async def _run_loop(self) -> None:
        """Exchange and start attempts, until an attempt takes over this task or the pump ends.

        A worker with few slots runs handlers in this task for as long as they do not wait, so
        that no event loop iteration passes between an answer and the next call.
        """
        serve = self.in_hand.starter.serve
        if await serve(self._spawn_carrier):
            return
        while not self._is_finished:
            while self._should_exchange:
                if not self._is_narrow:
                    self._send()
                    continue
                self._is_exchanging = True
                await self._exchange(*self._next_exchange())
                self._is_exchanging = False
                self._after_exchange()
                if await serve(self._spawn_carrier):
                    return
            if not self._is_finished:
                await self._poke.wait()
                self._poke.clear()
        if not self._ended.done():
            self._ended.set_result(None)

    @property
    def _is_finished(self) -> bool:
        if not self._stopping or self._settlements.to_send or self._in_flight:
            return False
        return self._forsaken or not self.in_hand.running

    @property
    def _should_exchange(self) -> bool:
        """Whether to send an exchange; a second one is sent only if it is worth a call."""
        if self._idle.is_resting or len(self._in_flight) == _MAX_IN_FLIGHT:
            return False
        share = min(self._slots.share(self), self._chunk) if self.hungry else 0
        to_send = len(self._settlements.to_send)
        if self._in_flight:
            return max(to_send, share) >= max(self._chunk // 2, _WORTH_A_CALL)
        return bool(to_send or share)

    def _next_exchange(self) -> tuple[list[Done], int]:
        """Return the settlements of the next exchange and the number of jobs to request."""
        closed = self._stopping or self._settlements.are_failing
        rests = closed or self._shared.shortage.is_resting
        room = 0 if rests else self._slots.take(self, self._chunk)
        return self._settlements.take(), room

    def _send(self) -> None:
        task = self._loop.create_task(self._exchange(*self._next_exchange()))
        self._in_flight.add(task)
        task.add_done_callback(self._on_exchange_ended)

    def _on_exchange_ended(self, task: asyncio.Task[None]) -> None:
        self._in_flight.discard(task)
        self._on_task_ended(task)
        self._after_exchange()
        self._poke.set()

    def _after_exchange(self) -> None:
        if self._slots.suspect and not self._settlements.to_send and not self._in_flight:
            self.in_hand.start_suspect()
        if self._idle.is_idle and not self.in_hand.running:
            self._shared.quiet.set()

    async def _exchange(self, done: list[Done], room: int) -> None:
        """Settle and fetch jobs; if that fails, keep the settlements for the next exchange."""
        shared = self._shared
        fetch = Fetch(room, shared.worker_id, shared.lease_ms) if room else None
        try:
            if shared.reports.pending(self._ref):
                await shared.reports.flush(self._ref)
            settlements = [settlement for _, settlement, _ in done]
            answer = await self._engine.exchange(self._ref, settlements, fetch)
        except EngineError as error:
            self._settlements.failed(done, error)
            self._slots.give(room, self)
            await self._idle.rest(error)
            return
        were_failing = self._settlements.are_failing
        self._idle.recovered()
        is_behind = self._settlements.answered(done, answer)
        if fetch is not None:
            was_idle = self._idle.is_idle
            self._idle.answered(answer, room, may_wait=not self._stopping)
            if was_idle or self._idle.is_idle:
                self._slots.update(self)
                self._slots.give(room - len(answer.leases), self)
            self.in_hand.start(answer.leases)
        elif were_failing:
            self._slots.update(self)
        if is_behind:
            await self._settlements.catch_up()

    def _on_end(self) -> None:
        """Free a slot."""
        self._slots.give(1, self)
        self._poke.set()
