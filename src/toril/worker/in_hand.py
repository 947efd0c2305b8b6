"""The attempts of one queue that a worker has in hand: it starts, stops and releases them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from toril.model.job import Lease
from toril.model.outcome import Outcome, Released
from toril.worker.attempt import Attempt, Stop
from toril.worker.executor import Executor
from toril.worker.heartbeat import Heartbeat
from toril.worker.last_chance import LastChance
from toril.worker.publisher import Publisher
from toril.worker.slots import Slots
from toril.worker.starter import Starter


class InHand:
    """The attempts whose handlers are running or about to run.

    Attributes:
        running: These attempts, in the order in which they were fetched.
        starter: Starts them.
    """

    def __init__(
        self,
        *,
        run: Callable[[Attempt], Coroutine[Any, Any, None]],
        slots: Slots,
        stalls: int,
        executor: Executor,
        heartbeat: Heartbeat,
        publisher: Publisher,
        resolved: Callable[[Attempt, Outcome], None],
        ended: Callable[[], None],
        spawns: bool,
    ) -> None:
        """Create an empty set of attempts.

        Args:
            run: Runs an attempt to its end.
            slots: The worker's slots.
            stalls: The number of stalls from which a job is on its last chance.
            executor: Gives up on handlers that do not stop.
            heartbeat: Renews the leases.
            publisher: Publishes that attempts start.
            resolved: Receives each attempt's outcome.
            ended: Called when a handler is no longer running.
            spawns: Whether attempts run in separate asyncio tasks instead of the pump's.
        """
        self._loop = asyncio.get_running_loop()
        self._slots = slots
        self._executor = executor
        self._heartbeat = heartbeat
        self._publisher = publisher
        self._resolved = resolved
        self._ended = ended
        self._spawns = spawns
        self._last_chance = LastChance(slots, stalls, begin=self._begin, release=self.release)
        self.running: dict[Attempt, None] = {}
        self.starter = Starter(self._loop, run)

    def start(self, leases: Sequence[Lease]) -> None:
        """Start attempts at fetched jobs."""
        now = self._loop.time()
        resolved = self._resolved
        attempts = [Attempt(lease, now, resolved) for lease in leases]
        self.running.update(dict.fromkeys(attempts))
        if attempts:
            self._heartbeat.hold(attempts[0].lease.queue, attempts)
        suspects = self._last_chance.among(attempts)
        if not suspects:
            self._begin(attempts)
            return
        self._begin([attempt for attempt in attempts if attempt not in suspects])
        for attempt in suspects:
            self._last_chance.set_aside(attempt)

    def _begin(self, attempts: Sequence[Attempt]) -> None:
        for attempt in attempts:
            attempt.dispatched = True
        self._publisher.started(attempts)
        self.starter.put(attempts)
        if self._spawns:
            self.starter.spawn()

    def start_suspect(self) -> None:
        """Start this queue's last-chance job; nothing is left to settle that it could take down."""
        suspect = self._slots.suspect
        if suspect is not None and suspect in self.running:
            self._last_chance.start_suspect(suspect)

    def stop_all(self, why: Stop) -> None:
        """Ask all handlers to stop."""
        for attempt in list(self.running):
            self.stop(attempt, why)

    def stop(self, attempt: Attempt, why: Stop) -> None:
        """Ask one handler to stop, and give up on it if it does not."""
        attempt.stop(why)
        if attempt.task is None:  # it has not started
            self.release(attempt)
            return
        self._executor.abandon_later(attempt)

    def release(self, attempt: Attempt, delay_ms: int = 0) -> None:
        """Release the job of an attempt that has not started."""
        attempt.resolve(Released(delay_ms))
        self.on_end(attempt)

    def on_end(self, attempt: Attempt) -> None:
        """Remove an attempt, because its handler is no longer running."""
        self.running.pop(attempt, None)
        if self._slots.suspect is attempt:
            self._last_chance.ended()
        self._ended()
