"""Turns outcomes into settlements and publishes them once the store has accepted them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeAlias

from toril.engine.contract.engine import Engine
from toril.engine.contract.hot_path import Exchange, Refusal
from toril.engine.contract.rules import BYTES, MOST_EXCHANGED
from toril.errors import EngineError, StoreRejectedError, TorilError, UnsupportedError
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
from toril.model.settlement import Complete, Fail, Settlement, SettlementHook, follow_ups_of
from toril.model.tracebacks import traceback_of
from toril.printable import logger
from toril.worker.attempt import Attempt
from toril.worker.failures import error_of
from toril.worker.heartbeat import Heartbeat
from toril.worker.publisher import Publisher

_logger = logger("toril.worker")

_CHILDREN = {Refusal.OPEN_CHILDREN, Refusal.FAILED_CHILDREN}
_MAX_UNFLUSHED = 32  # answers not yet flushed before the pump waits

_FEW = 8  # settlements: with results as large as allowed, they still fit into a call

Done: TypeAlias = tuple[Attempt, Settlement, float]
"""A finished attempt, its settlement, and its duration in seconds."""


def _most_of(done: Sequence[Done]) -> int:
    """Return how many settlements to send in one call: neither too many nor too large."""
    size = 0
    for index, (_, settlement, _) in enumerate(done[:MOST_EXCHANGED]):
        if isinstance(settlement, Complete) and settlement.result_json is not None:
            size += len(settlement.result_json)
        if size > BYTES and index:
            return index
    return MOST_EXCHANGED


class Settlements:
    """The settlements of one queue that the store has not accepted yet.

    Attributes:
        to_send: The settlements that the next exchange sends.
        are_failing: Whether the last exchange with settlements failed. Until one succeeds, the
            worker fetches no jobs: it could not settle them either.
    """

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
        self.to_send: list[Done] = []
        self.are_failing = False
        self._one_by_one = 0  # how many settlements to send alone, to find the one that fails
        self._refused: list[Done] = []
        self._unflushed: dict[asyncio.Future[None], None] = {}

    def resolved(self, attempt: Attempt, outcome: Outcome) -> None:
        """Turn an attempt's outcome into a settlement."""
        settlement = settlement_for(attempt.lease, attempt.options, outcome, self._retry_delay)
        if settlement is None:
            self._lost(attempt)
            return
        if self._hooks:
            settlement = self._with_follow_ups(settlement)
        self.to_send.append((attempt, settlement, self._loop.time() - attempt.started))
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
        if self._one_by_one:
            self._one_by_one -= 1
            done, self.to_send = self.to_send[:1], self.to_send[1:]
        elif len(self.to_send) <= _FEW:
            done, self.to_send = self.to_send, []
        else:
            most = _most_of(self.to_send)
            done, self.to_send = self.to_send[:most], self.to_send[most:]
        return done

    def failed(self, done: list[Done], error: EngineError) -> None:
        """Keep settlements that the store did not accept for the next exchange.

        If the store rejects them because of what it holds, they are sent one by one, so that the
        one at fault does not hold up the others. Its job fails instead.

        Args:
            done: The settlements.
            error: Why the exchange failed.
        """
        self.are_failing = self.are_failing or bool(done)
        if not isinstance(error, StoreRejectedError):
            self.to_send = done + self.to_send
        elif len(done) == 1:
            self.to_send = [*self._instead_of(done[0], error), *self.to_send]
        else:
            self.to_send = done + self.to_send
            self._one_by_one = len(done)

    def _instead_of(self, rejected: Done, error: EngineError) -> list[Done]:
        """Return what to send instead of a rejected settlement."""
        attempt, settlement, duration = rejected
        lease = attempt.lease
        if isinstance(settlement, Fail) and settlement.error.type == ErrorKind.OUTCOME_REJECTED:
            _logger.error(
                "%s %s cannot be settled at all, and runs again when its lease has run out: %s",
                lease.name,
                lease.id,
                error,
            )
            self._lost(attempt)
            return []
        message = f"the store rejected the job's outcome: {error}"
        self._one_by_one += 1
        return [
            (attempt, Fail(lease, error_of(lease, ErrorKind.OUTCOME_REJECTED, message)), duration)
        ]

    def answered(self, done: Sequence[Done], answer: Exchange) -> bool:
        """Process the store's answer: publish accepted settlements once they are flushed.

        Returns:
            Whether `catch_up` should be awaited.
        """
        if not done:
            return False
        self.are_failing = False
        accepted = done
        if any(answer.results):
            accepted = []
            for one, refusal in zip(done, answer.results, strict=True):
                if refusal is None:
                    accepted.append(one)
                elif refusal in _CHILDREN:
                    self._fail_for_children(one[0], refusal)
                elif refusal is Refusal.LEASE_LOST:
                    self._refused.append(one)
                else:
                    self._lost(one[0])
        self._heartbeat.drop(self._queue, (attempt for attempt, _, _ in accepted))
        if answer.flushed is None:
            self._publish(accepted)
        else:
            self._unflushed[answer.flushed] = None
            answer.flushed.add_done_callback(partial(self._on_flushed, accepted))
        return bool(self._refused) or len(self._unflushed) > _MAX_UNFLUSHED

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
        self._heartbeat.drop(self._queue, [attempt])
        self._publisher.lost(attempt.lease)

    async def catch_up(self) -> None:
        """Try again what was refused, and wait for the disk if too much has not been flushed."""
        if self._refused:
            await self._try_again()
        if len(self._unflushed) > _MAX_UNFLUSHED:
            await asyncio.wait([next(iter(self._unflushed))])

    async def _try_again(self) -> None:
        """Keep refused settlements if their leases, which ran out, can be renewed."""
        refused, self._refused = self._refused, []
        try:
            regained = set(await self._heartbeat.regain([attempt for attempt, _, _ in refused]))
        except TorilError:
            self.to_send = refused + self.to_send  # the next exchange shows whether they are lost
            return
        self.to_send = [one for one in refused if one[0] in regained] + self.to_send
        for attempt, _, _ in refused:
            if attempt not in regained:
                self._lost(attempt)

    async def flushed(self) -> None:
        """Wait until all accepted settlements are on disk."""
        if self._unflushed:
            await asyncio.wait(self._unflushed)
