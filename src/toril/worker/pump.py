"""The pump of one queue: settles what has finished and fetches as much, in one call.

Whatever finishes while an exchange is away goes along with the next, together with a request
for as many jobs as there are free slots. So an idle queue answers at once, a busy one moves
hundreds of jobs a call, and nothing waits on a timer. A worker with many slots keeps two
exchanges on their way, each of half its slots: while the store works on one, the jobs of the
other run.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Sequence
from functools import partial

from toril.clock import Clock
from toril.engine.base import Engine, Exchange, Fetch, Refusal
from toril.errors import EngineError
from toril.model.events import EventBus
from toril.model.job import Lease, QueueRef
from toril.model.outcome import Ended, Errored, GivenBack, Outcome, RetryDelay, settle
from toril.model.settlement import Settlement
from toril.queues.queue import Queue
from toril.worker import failures
from toril.worker.attempt import Attempt, Stop
from toril.worker.executor import Executor
from toril.worker.failures import error_of
from toril.worker.handlers import Routes
from toril.worker.heartbeat import Heartbeat
from toril.worker.progress import Reports
from toril.worker.publisher import Teller
from toril.worker.slots import Slots
from toril.worker.starter import Starter
from toril.worker.statistics import Statistics

_logger = logging.getLogger("toril.worker")

_FIRST_PAUSE = 0.05  # seconds, after an exchange that failed
_LONGEST_PAUSE = 3.0  # a store that is back after hours is used within five seconds, too
_ASIDE_MS = 1_000
_CHILDREN = {Refusal.OPEN_CHILDREN, Refusal.FAILED_CHILDREN}
_MOST_AWAY = 2  # exchanges at once
_SPLIT_FROM = 64  # slots
_SPLIT_FROM_REMOTE = 8  # slots, where the store works elsewhere
_WORTH_ITS_WAY = 2  # jobs to settle, or to ask for
_MOST_UNKEPT = 32  # answers whose settlements are not on the disk yet, before it is waited for
BURST_HORIZON_MS = 60_000


class Pump:
    """Moves one queue's jobs through a worker."""

    def __init__(
        self,
        queue: Queue,
        routes: Routes,
        *,
        worker_id: str,
        lease_ms: int,
        clock: Clock,
        slots: Slots,
        executor: Executor,
        heartbeat: Heartbeat,
        reports: Reports,
        retry_delay: RetryDelay,
        bus: EventBus,
        statistics: Statistics,
        last_chance: int,
        quiet: asyncio.Event,
    ) -> None:
        """Prepare; the arguments are the worker's parts that all its queues share."""
        self.queue = queue
        self.running: dict[Attempt, None] = {}  # in the order in which they started
        self._engine: Engine = queue.engine
        self._ref: QueueRef = queue.ref
        self._loop = asyncio.get_running_loop()
        self._worker_id = worker_id
        self._lease_ms = lease_ms
        self._clock = clock
        self._slots = slots
        self._executor = executor
        self._heartbeat = heartbeat
        self._reports = reports
        self._retry_delay = retry_delay
        self._teller = Teller(self._ref, bus, statistics)
        self._last_chance = last_chance
        self._quiet = quiet
        self._done: list[tuple[Attempt, Settlement, float]] = []
        self._poke = asyncio.Event()
        self._stopping = False
        self._forsaken = False
        self._idle = False
        self._next_due: int | None = None
        self._waiter: asyncio.Task[None] | None = None
        self._pause = 0.0
        self._resting = False
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._carrier: asyncio.Task[None] | None = None
        self._away: set[asyncio.Task[None]] = set()
        remote = self._engine.capabilities.remote
        self._is_narrow = slots.total < (_SPLIT_FROM_REMOTE if remote else _SPLIT_FROM)
        self._chunk = slots.total if self._is_narrow else -(-slots.total // 2)
        # Made once, and not for each job.
        self._give_outcome = self._on_outcome
        give_end = self._on_end
        self._starter = Starter(self._loop, lambda attempt: executor.run(attempt, routes, give_end))
        self._unkept: dict[asyncio.Future[None], None] = {}
        slots.join(self)

    # What the worker asks

    @property
    def hungry(self) -> bool:
        """Whether it would find work for a free slot."""
        return not (self._idle or self._stopping)

    @property
    def drained(self) -> bool:
        """Whether it has nothing in hand, and nothing is due within the burst's horizon."""
        soon = self._clock.wall_ms() + BURST_HORIZON_MS
        return (
            self._idle
            and not self.running
            and not self._done
            and not self._away
            and (self._next_due is None or self._next_due > soon)
        )

    def poke(self) -> None:
        """Let it look again."""
        self._poke.set()

    def stop_fetching(self) -> None:
        """Take no further jobs; end when those in hand have ended."""
        self._stopping = True
        if self._waiter is not None:
            self._waiter.cancel()
        self._poke.set()

    def stop_running(self, why: Stop) -> None:
        """Tell the handlers that run to end."""
        for attempt in list(self.running):
            self.stop_attempt(attempt, why)

    def stop_attempt(self, attempt: Attempt, why: Stop) -> None:
        """Tell one handler to end, and do not wait for it for ever."""
        attempt.stop(why)
        if attempt.task is None:  # it has not started
            self._give_back(attempt)
            return
        self._executor.abandon_later(attempt)

    def _give_back(self, attempt: Attempt, delay_ms: int = 0) -> None:
        attempt.settle(GivenBack(delay_ms))
        self._on_end(attempt)

    def forsake(self) -> None:
        """Wait no longer for handlers that go on although their jobs have been given back."""
        self._forsaken = True
        self._poke.set()

    # The loop

    async def run(self) -> None:
        """Move jobs until told to stop and all in hand have ended."""
        self._carry()
        try:
            await self._ended
            if self._unkept:
                await asyncio.wait(self._unkept)
        finally:
            for task in (self._waiter, self._carrier, *self._away):
                if task is not None:
                    task.cancel()

    def _carry(self) -> None:
        """Let a new task go on with the loop: the one it was in is an attempt's now."""
        self._carrier = self._loop.create_task(self._go_on())
        self._carrier.add_done_callback(self._on_carried)

    def _on_carried(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        # With this Python ends all that waits for one another, the task of an attempt as well.
        if not isinstance(error, GeneratorExit):
            self._fail(error)

    def _fail(self, error: BaseException | None) -> None:
        if error is not None and not self._ended.done():
            self._ended.set_exception(error)

    async def _go_on(self) -> None:
        """Exchange and start, until an attempt keeps the task for itself, or all is over.

        A worker with few slots runs its handlers in this very task, as long as they do not
        wait: then there is no turn of the event loop between an answer and the next call.
        """
        if await self._starter.serve(self._carry):
            return
        while not self._over:
            while self._has_business:
                if not self._is_narrow:
                    self._send()
                    continue
                await self._exchange(*self._load())
                self._look_around()
                if await self._starter.serve(self._carry):
                    return
            if not self._over:
                await self._poke.wait()
                self._poke.clear()
        if not self._ended.done():
            self._ended.set_result(None)

    @property
    def _over(self) -> bool:
        in_hand = self._done or self._away or (self.running and not self._forsaken)
        return self._stopping and not in_hand

    @property
    def _has_business(self) -> bool:
        """Whether to send an exchange: a second one only if it is worth its way."""
        if self._resting or len(self._away) == _MOST_AWAY:
            return False
        share = min(self._slots.share(self), self._chunk) if self.hungry else 0
        if self._away:
            return max(len(self._done), share) >= max(self._chunk // 2, _WORTH_ITS_WAY)
        return bool(self._done or share)

    def _load(self) -> tuple[list[tuple[Attempt, Settlement, float]], int]:
        """Return what an exchange is to settle, and how many jobs it is to ask for."""
        room = 0 if self._stopping else self._slots.take(self, self._chunk)
        done, self._done = self._done, []
        return done, room

    def _send(self) -> None:
        task = self._loop.create_task(self._exchange(*self._load()))
        self._away.add(task)
        task.add_done_callback(self._came_back)

    def _came_back(self, task: asyncio.Task[None]) -> None:
        self._away.discard(task)
        if not task.cancelled():
            self._fail(task.exception())
        self._look_around()
        self._poke.set()

    def _look_around(self) -> None:
        self._start_suspect()
        if self._idle and not self.running:
            self._quiet.set()

    async def _exchange(self, done: list[tuple[Attempt, Settlement, float]], room: int) -> None:
        """Settle and fetch; what could not be settled is kept for the next time."""
        fetch = Fetch(room, self._worker_id, self._lease_ms) if room else None
        try:
            if self._reports.pending(self._ref):
                await self._reports.flush(self._ref)
            settlements = [settlement for _, settlement, _ in done]
            answer = await self._engine.exchange(self._ref, settlements, fetch)
        except EngineError as error:
            self._done = done + self._done
            self._slots.give(room, self)
            await self._rest(error)
            return
        self._pause = 0.0
        self._settled(done, answer)
        if fetch is not None:
            self._set_idle(answer, room)
            self._slots.give(room - len(answer.leases), self)
            self._start(answer.leases)
        if len(self._unkept) > _MOST_UNKEPT:
            await asyncio.wait([next(iter(self._unkept))])

    def _set_idle(self, answer: Exchange, room: int) -> None:
        """Wait for work if less came than was asked for."""
        self._idle = len(answer.leases) < room
        if not self._idle:
            return
        self._next_due = answer.next_due
        until = min(
            (t for t in (answer.next_due, answer.limited_until) if t is not None), default=None
        )
        if self._waiter is not None:
            self._waiter.cancel()
        if not self._stopping:
            self._waiter = asyncio.create_task(self._wait(until, answer.signal))

    async def _wait(self, until: int | None, signal: int) -> None:
        try:
            await self._engine.wait(self._ref, until, signal)
        except EngineError as error:
            await self._rest(error)
        self._idle = False
        self._poke.set()

    async def _rest(self, error: EngineError) -> None:
        """Ask nothing of the store for a while."""
        self._resting = True
        try:
            await self._back_off(error)
        finally:
            self._resting = False

    async def _back_off(self, error: EngineError) -> None:
        self._pause = min(max(self._pause * 2, _FIRST_PAUSE), _LONGEST_PAUSE)
        _logger.warning("%s: %s; trying again in %.1f s", self._ref, error, self._pause)
        await asyncio.sleep(self._pause * (0.5 + random.random() / 2))  # noqa: S311 - no secret

    def _start(self, leases: Sequence[Lease]) -> None:
        now = self._loop.time()
        give_outcome = self._give_outcome
        attempts = [Attempt(lease, now, give_outcome) for lease in leases]
        self.running.update(dict.fromkeys(attempts))
        self._heartbeat.hold(attempts)
        self._begin([a for a in attempts if not self._is_last_chance(a.lease)])
        for attempt in attempts:
            if self._is_last_chance(attempt.lease):
                self._set_aside(attempt)

    def _is_last_chance(self, lease: Lease) -> bool:
        return lease.stalls >= self._last_chance and lease.deferred_failure is None

    def _begin(self, attempts: Sequence[Attempt]) -> None:
        for attempt in attempts:
            attempt.begun = True
        self._teller.started([attempt.lease for attempt in attempts])
        self._starter.put(attempts)
        if not self._is_narrow:
            self._starter.spawn()

    def _set_aside(self, attempt: Attempt) -> None:
        """Keep a job that stalled as often as it may from taking others of its kind along.

        Which of the jobs that were lost together killed their worker is not known. So of
        those on their last chance a worker runs one at a time, and gives the others back
        before it starts it: the next worker that dies tells which one it was.
        """
        if self._slots.suspect is None:
            self._slots.suspect = attempt
        else:
            self._give_back(attempt, _ASIDE_MS)

    def _start_suspect(self) -> None:
        """Start the job on its last chance, once nothing that it could take along is unsettled."""
        suspect = self._slots.suspect
        unsettled = self._done or self._away
        if suspect in self.running and not unsettled and not suspect.begun:
            self._begin([suspect])

    def _on_end(self, attempt: Attempt) -> None:
        """Free an attempt's slot: its handler does not run any more."""
        self.running.pop(attempt, None)
        if self._slots.suspect is attempt:
            self._slots.suspect = None
        self._slots.give(1, self)
        self._poke.set()

    def _on_outcome(self, attempt: Attempt, outcome: Outcome) -> None:
        settlement = settle(attempt.lease, attempt.options, outcome, self._retry_delay)
        if settlement is None:
            self._lost(attempt)
            return
        duration = self._loop.time() - attempt.started
        self._done.append((attempt, settlement, duration))
        self._poke.set()

    # After the store has answered

    def _settled(self, done: Sequence[tuple[Attempt, Settlement, float]], answer: Exchange) -> None:
        if not done:
            return
        taken = done
        if any(answer.results):
            taken = []
            for one, refusal in zip(done, answer.results, strict=True):
                if refusal is None:
                    taken.append(one)
                elif refusal in _CHILDREN:
                    self._fail_for_children(one[0], refusal)
                else:
                    self._lost(one[0])
        self._heartbeat.let_go(attempt for attempt, _, _ in taken)
        if answer.kept is None:
            self._tell(taken)
        else:
            self._unkept[answer.kept] = None
            answer.kept.add_done_callback(partial(self._on_kept, taken))

    def _fail_for_children(self, attempt: Attempt, refusal: Refusal) -> None:
        """Settle anew a job that may not complete; as in BullMQ, open children can be retried."""
        lease = attempt.lease
        if refusal is Refusal.OPEN_CHILDREN:
            error = error_of(lease, failures.CHILDREN, "it has children that have not ended")
            self._on_outcome(attempt, Errored(error))
        else:
            error = error_of(lease, failures.CHILDREN, "at least one of its children failed")
            self._on_outcome(attempt, Ended(error))

    def _on_kept(
        self, taken: Sequence[tuple[Attempt, Settlement, float]], kept: asyncio.Future[None]
    ) -> None:
        """Tell of outcomes that the store keeps from now on, whatever happens."""
        del self._unkept[kept]
        error = None if kept.cancelled() else kept.exception()
        if error is not None:
            _logger.error(
                "%s: the outcomes of %d jobs may be lost with the next loss of power, and the jobs "
                "run again: %s",
                self._ref,
                len(taken),
                error,
            )
        self._tell(taken)

    def _tell(self, taken: Sequence[tuple[Attempt, Settlement, float]]) -> None:
        self._teller.settled([(settlement, duration) for _, settlement, duration in taken])

    def _lost(self, attempt: Attempt) -> None:
        self._heartbeat.let_go([attempt])
        self._teller.lost(attempt.lease)
