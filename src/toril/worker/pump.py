"""The pump of one queue: settles what has finished and fetches as much, in one call.

Whatever finishes while an exchange is under way goes with the next one, together with a request
for as many jobs as there are free slots. So an idle queue answers at once, a busy one moves
hundreds of jobs a call, and nothing waits on a timer. A worker with many slots keeps two
exchanges under way, each for half of its slots: while the store works on one, the jobs of the
other run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from toril.clock import Clock
from toril.engine.contract.hot_path import Fetch
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
from toril.worker.slots import Slots
from toril.worker.statistics import Statistics

_MOST_UNDER_WAY = 2  # exchanges at once
_SPLIT_FROM = 64  # slots
_SPLIT_FROM_REMOTE = 8  # slots, where the store runs in another process
_WORTH_A_CALL = 2  # jobs to settle, or to ask for


class Shared(NamedTuple):
    """The parts of a worker that all its pumps share.

    Attributes:
        worker_id: The worker's id.
        lease_ms: How long it holds a job without renewing.
        clock: The store's time, about.
        slots: How many jobs run at once.
        executor: Runs attempts.
        heartbeat: Renews leases.
        reports: Collects what handlers report.
        retry_delay: Gives the wait before another attempt.
        hooks: Each may put follow-ups on a settlement.
        bus: Told of what happens.
        statistics: Count it.
        last_chance: How often a job has stalled that is on its last chance.
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
    quiet: asyncio.Event


class Pump:
    """Moves one queue's jobs through a worker.

    Attributes:
        in_hand: The attempts whose handlers run, or are about to.
    """

    def __init__(self, queue: Queue, routes: Routes, shared: Shared) -> None:
        """Prepare.

        Args:
            queue: The queue.
            routes: Its handlers.
            shared: The worker's parts.
        """
        self._engine = engine = queue.engine
        self._ref = ref = queue.ref
        self._shared = shared
        self._loop = asyncio.get_running_loop()
        self._slots = slots = shared.slots
        remote = engine.capabilities.remote
        self._is_narrow = slots.total < (_SPLIT_FROM_REMOTE if remote else _SPLIT_FROM)
        self._chunk = slots.total if self._is_narrow else -(-slots.total // 2)
        self._idle = Idle(engine, ref, shared.clock, self._on_idle_changed)
        publisher = Publisher(ref, shared.bus, shared.statistics)
        self._settlements = Settlements(
            engine,
            ref,
            hooks=shared.hooks,
            retry_delay=shared.retry_delay,
            heartbeat=shared.heartbeat,
            publisher=publisher,
            changed=self.poke,
        )
        self.in_hand = self._in_hand(routes, publisher)
        self._poke = asyncio.Event()
        self._stopping = False
        self._forsaken = False
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._carrier: asyncio.Task[None] | None = None
        self._under_way: set[asyncio.Task[None]] = set()
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

    # What the worker asks

    @property
    def hungry(self) -> bool:
        """Whether it expects to find work for a free slot."""
        return not (self._idle.is_idle or self._idle.is_resting or self._stopping)

    @property
    def drained(self) -> bool:
        """Whether it has nothing in hand, and nothing is due within a burst's horizon."""
        in_hand = self.in_hand.running or self._settlements or self._under_way
        return not in_hand and not self._idle.has_work_soon

    def poke(self) -> None:
        """Let it look again."""
        self._poke.set()

    def stop_fetching(self) -> None:
        """Take no further jobs; end when those in hand have ended."""
        self._stopping = True
        self._slots.update(self)
        self._idle.stop()
        self._poke.set()

    def forsake(self) -> None:
        """Stop waiting for handlers that go on although their jobs have been given back."""
        self._forsaken = True
        self._poke.set()

    # The loop

    async def run(self) -> None:
        """Move jobs until told to stop and all in hand have ended."""
        self._carry()
        try:
            await self._ended
            await self._settlements.flushed()
        finally:
            self._idle.stop()
            for task in (self._carrier, *self._under_way):
                if task is not None:
                    task.cancel()

    def _carry(self) -> None:
        """Let a new task go on with the loop: the one it ran in belongs to an attempt now."""
        self._carrier = self._loop.create_task(self._go_on())
        self._carrier.add_done_callback(self._on_task_ended)

    def _on_task_ended(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        # Python raises GeneratorExit in whatever waits for something that is collected with it.
        if error is None or isinstance(error, GeneratorExit) or self._ended.done():
            return
        self._ended.set_exception(error)

    async def _go_on(self) -> None:
        """Exchange and start, until an attempt keeps the task for itself, or all is over.

        A worker with few slots runs its handlers in this very task, as long as they do not
        wait: then no turn of the event loop lies between an answer and the next call.
        """
        serve = self.in_hand.starter.serve
        if await serve(self._carry):
            return
        while not self._over:
            while self._has_business:
                if not self._is_narrow:
                    self._send()
                    continue
                await self._exchange(*self._load())
                self._look_around()
                if await serve(self._carry):
                    return
            if not self._over:
                await self._poke.wait()
                self._poke.clear()
        if not self._ended.done():
            self._ended.set_result(None)

    @property
    def _over(self) -> bool:
        in_hand = (
            self._settlements or self._under_way or (self.in_hand.running and not self._forsaken)
        )
        return self._stopping and not in_hand

    @property
    def _has_business(self) -> bool:
        """Whether to send an exchange: a second one only if it is worth a call."""
        if self._idle.is_resting or len(self._under_way) == _MOST_UNDER_WAY:
            return False
        share = min(self._slots.share(self), self._chunk) if self.hungry else 0
        if self._under_way:
            return max(len(self._settlements), share) >= max(self._chunk // 2, _WORTH_A_CALL)
        return bool(self._settlements or share)

    def _load(self) -> tuple[list[Done], int]:
        """Return what an exchange is to settle, and how many jobs it is to ask for."""
        room = 0 if self._stopping else self._slots.take(self, self._chunk)
        return self._settlements.take(), room

    def _send(self) -> None:
        task = self._loop.create_task(self._exchange(*self._load()))
        self._under_way.add(task)
        task.add_done_callback(self._came_back)

    def _came_back(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        self._on_task_ended(task)
        self._look_around()
        self._poke.set()

    def _look_around(self) -> None:
        if not self._settlements and not self._under_way:
            self.in_hand.start_suspect()
        if self._idle.is_idle and not self.in_hand.running:
            self._shared.quiet.set()

    async def _exchange(self, done: list[Done], room: int) -> None:
        """Settle and fetch; what could not be settled is kept for the next time."""
        shared = self._shared
        fetch = Fetch(room, shared.worker_id, shared.lease_ms) if room else None
        try:
            if shared.reports.pending(self._ref):
                await shared.reports.flush(self._ref)
            settlements = [settlement for _, settlement, _ in done]
            answer = await self._engine.exchange(self._ref, settlements, fetch)
        except EngineError as error:
            self._settlements.put_back(done)
            self._slots.give(room, self)
            await self._idle.rest(error)
            return
        self._idle.recovered()
        self._settlements.answered(done, answer)
        if fetch is not None:
            self._idle.answered(answer, room, may_wait=not self._stopping)
            self._slots.update(self)
            self._slots.give(room - len(answer.leases), self)
            self.in_hand.start(answer.leases)
        await self._settlements.catch_up()

    def _on_idle_changed(self) -> None:
        self._slots.update(self)
        self._poke.set()

    def _on_end(self) -> None:
        """Free a slot."""
        self._slots.give(1, self)
        self._poke.set()
