"""Turns outcomes into settlements and publishes them once the store has accepted them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeAlias

from toril.engine.contract.engine import Engine
from toril.engine.contract.hot_path import Exchange, Refusal
from toril.errors import UnsupportedError
from toril.model.exceptions import description_of
from toril.model.job import QueueRef
from toril.model.outcome import (
    Discarded,
    Errored,
    ErrorKind,
    Outcome,
    RetryDelay,
    settlement_for,
)
from toril.model.settlement import Fail, Settlement, SettlementHook, follow_ups_of
from toril.model.tracebacks import traceback_of
from toril.worker.attempt import Attempt
from toril.worker.failures import error_of
from toril.worker.heartbeat import Heartbeat
from toril.worker.publisher import Publisher

_logger = logging.getLogger("toril.worker")

_CHILDREN = {Refusal.OPEN_CHILDREN, Refusal.FAILED_CHILDREN}
_MAX_UNFLUSHED = 32  # answers not yet flushed before the pump waits

Done: TypeAlias = tuple[Attempt, Settlement, float]
"""A finished attempt, its settlement, and its duration in seconds."""


class Settlements:
    """The settlements of one queue that the store has not accepted yet."""

    def __init__(
        self,
        engine: Engine,
        queue: QueueRef,
        *,
        hooks: Sequence[SettlementHook],
        retry_delay: RetryDelay,
        heartbeat: Heartbeat,
        publisher: Publisher,
        changed: Callable[[], None],
    ) -> None:
        """Create an empty set of settlements.

        Args:
            engine: Talks to the store.
            queue: The queue.
            hooks: Each may add follow-ups to a settlement.
            retry_delay: Computes the delay before a retry.
            heartbeat: Renews leases until their settlements are accepted.
            publisher: Publishes what happens to attempts.
            changed: Called when there is something to settle.
        """
        self._engine = engine
        self._queue = queue
        self._hooks = hooks
        self._retry_delay = retry_delay
        self._heartbeat = heartbeat
        self._publisher = publisher
        self._changed = changed
        self._loop = asyncio.get_running_loop()
        self._done: list[Done] = []
        self._unflushed: dict[asyncio.Future[None], None] = {}

    def __len__(self) -> int:
        return len(self._done)

    def resolved(self, attempt: Attempt, outcome: Outcome) -> None:
        """Turn an attempt's outcome into a settlement."""
        settlement = settlement_for(attempt.lease, attempt.options, outcome, self._retry_delay)
        if settlement is None:
            self._lost(attempt)
            return
        if self._hooks:
            settlement = self._with_follow_ups(settlement)
        self._done.append((attempt, settlement, self._loop.time() - attempt.started))
        self._changed()

    def _with_follow_ups(self, settlement: Settlement) -> Settlement:
        """Add the hooks' follow-ups to a settlement; fail the job if that is not possible."""
        lease = settlement.lease
        try:
            for hook in self._hooks:
                settlement = hook(settlement)
            for follow_up in follow_ups_of([settlement]):
                self._engine.check_follow_ups(self._queue, follow_up.queue)
        except UnsupportedError as error:
            return Fail(lease, error_of(lease, ErrorKind.FOLLOW_UP_REFUSED, str(error)))
        except BaseException as error:  # noqa: BLE001 - whatever it raises, the job is settled
            _logger.error(  # noqa: TRY400 - the error may raise when logging looks at it
                "a hook failed on the settlement of %s %s\n%s",
                lease.name,
                lease.id,
                traceback_of(error),
            )
            message = f"could not prepare the follow-ups: {description_of(error)}"
            return Fail(lease, error_of(lease, ErrorKind.FOLLOW_UP_REFUSED, message))
        return settlement

    def take(self) -> list[Done]:
        """Remove and return the settlements to send."""
        done, self._done = self._done, []
        return done

    def put_back(self, done: list[Done]) -> None:
        """Keep settlements that could not be sent for the next exchange."""
        self._done = done + self._done

    def answered(self, done: Sequence[Done], answer: Exchange) -> None:
        """Process the store's answer: publish accepted settlements once they are flushed."""
        if not done:
            return
        accepted = done
        if any(answer.results):
            accepted = []
            for one, refusal in zip(done, answer.results, strict=True):
                if refusal is None:
                    accepted.append(one)
                elif refusal in _CHILDREN:
                    self._fail_for_children(one[0], refusal)
                else:
                    self._lost(one[0])
        self._heartbeat.drop(attempt for attempt, _, _ in accepted)
        if answer.flushed is None:
            self._publish(accepted)
        else:
            self._unflushed[answer.flushed] = None
            answer.flushed.add_done_callback(partial(self._on_flushed, accepted))

    def _fail_for_children(self, attempt: Attempt, refusal: Refusal) -> None:
        """Settle a job again that cannot complete because of its children.

        As in BullMQ, a job with open children can be retried.
        """
        lease = attempt.lease
        if refusal is Refusal.OPEN_CHILDREN:
            error = error_of(lease, ErrorKind.CHILDREN, "it has children that have not finished")
            self.resolved(attempt, Errored(error))
        else:
            error = error_of(lease, ErrorKind.CHILDREN, "at least one of its children failed")
            self.resolved(attempt, Discarded(error))

    def _on_flushed(self, accepted: Sequence[Done], flushed: asyncio.Future[None]) -> None:
        del self._unflushed[flushed]
        error = None if flushed.cancelled() else flushed.exception()
        if error is not None:
            _logger.error(
                "%s: could not flush the outcomes of %d jobs to disk; a power failure may make the "
                "jobs run again: %s",
                self._queue,
                len(accepted),
                error,
            )
        self._publish(accepted)

    def _publish(self, accepted: Sequence[Done]) -> None:
        self._publisher.settled([(settlement, duration) for _, settlement, duration in accepted])

    def _lost(self, attempt: Attempt) -> None:
        self._heartbeat.drop([attempt])
        self._publisher.lost(attempt.lease)

    async def catch_up(self) -> None:
        """Wait for the disk if too many answers have not been flushed."""
        if len(self._unflushed) > _MAX_UNFLUSHED:
            await asyncio.wait([next(iter(self._unflushed))])

    async def flushed(self) -> None:
        """Wait until all accepted settlements are on disk."""
        if self._unflushed:
            await asyncio.wait(self._unflushed)
