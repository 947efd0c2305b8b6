"""Exchanging: one script call. If its reply is lost, the next exchange recovers it."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from itertools import chain, count
from typing import Any

import msgspec
from msgspec.structs import replace

from toril.engine.contract.hot_path import Exchange, Fetch
from toril.engine.contract.rules import lease_token
from toril.engine.redis.connection.connections import Connections
from toril.engine.redis.hot_path import carry_on
from toril.engine.redis.hot_path.exchange import Packed, fetch_args, unpack
from toril.engine.redis.hot_path.marker import QueueMarker
from toril.engine.redis.hot_path.unanswered import Unanswered, UnansweredByWorker
from toril.errors import StoreFullError, StoreReadOnlyError, StoreUnavailableError
from toril.model.job import QueueRef
from toril.model.repeating import PREFIX
from toril.model.settlement import Settlement

_NEVER_RAN = (StoreUnavailableError, StoreFullError, StoreReadOnlyError)


class Answer(msgspec.Struct, frozen=True, gc=False):
    """The answer to an exchange, and what else the script reported.

    Attributes:
        exchange: The answer.
        has_unsorted: Ready jobs remain that are not yet in the lanes of their keys.
        was_missing: The queue did not exist.
    """

    exchange: Exchange
    has_unsorted: bool
    was_missing: bool


class _Call:
    """One exchange in flight: its token, its record, and the lost exchanges that it recovers."""

    __slots__ = ("answer", "lost", "record", "token", "unanswered")

    def __init__(self, token: str, unanswered: Unanswered) -> None:
        self.token = token
        self.unanswered = unanswered
        self.record, self.lost = unanswered.begin()
        self.answer: Any = None

    def succeeded(self, *, fetched: bool) -> None:
        """Forget the exchange, and the lost ones if it fetched: it has their leases then."""
        if fetched:
            self.unanswered.succeed(self.record, self.lost)
        else:
            self.unanswered.withdraw(self.record, self.lost)

    def failed(self, error: BaseException) -> None:
        """Forget the exchange if it never ran; otherwise let the next exchange recover it.

        Args:
            error: Why it failed.
        """
        if self.answer is None and isinstance(error, _NEVER_RAN):
            # During a long outage, thousands of calls fail without having run.
            self.unanswered.withdraw(self.record, self.lost)
        else:
            # The lost reply may be that of `exchange` or of `advance`. The next exchange returns
            # the leases again, and continues their schedules.
            self.unanswered.fail(self.record, self.token, self.lost)


class Exchanger:
    """Makes the exchanges of one engine.

    Attributes:
        in_flight: The queue and record of each unanswered fetching exchange, and when half of
            its lease time is over by the loop's clock, by token.
    """

    def __init__(self) -> None:
        """Prepare."""
        self._salt = secrets.token_hex(4)
        self._numbers = count()
        self._unanswered = UnansweredByWorker()
        self.in_flight: dict[str, tuple[QueueRef, str, float]] = {}

    def is_late(self, queue: QueueRef) -> bool:
        """Return whether an answer with leases of a queue should have been read long ago.

        Then this process stood still, and the leases on their way to it may have run out.

        Args:
            queue: The queue.
        """
        now = asyncio.get_running_loop().time()
        return any(of == queue and now > late for of, _, late in list(self.in_flight.values()))

    async def exchange(
        self,
        connections: Connections,
        marker: QueueMarker,
        settlements: Sequence[Settlement],
        packed: Packed,
        fetch: Fetch | None,
    ) -> Answer:
        """Settle and fetch; see `Engine.exchange`."""
        queue = marker.queue
        worker, wanted, lease_ms = fetch_args(settlements, fetch)
        token = lease_token(worker, lease_ms, f"{self._salt}{next(self._numbers)}")
        call = _Call(token, self._unanswered[queue, worker])
        if fetch is not None:
            # A handler may block the event loop before the answer arrives, so the keeper also
            # renews leases that this process has not received yet.
            late = asyncio.get_running_loop().time() + lease_ms / 2000
            self.in_flight[token] = queue, call.record, late
            marker.announce(worker)
        try:
            call.answer = await connections.run(
                "exchange",
                queue,
                worker,
                call.record,
                token,
                wanted,
                lease_ms,
                *_rest(call, packed),
            )
            exchange = unpack(queue, call.answer, packed.order, packed.duplicates)
            if any(lease.id.startswith(PREFIX) for lease in exchange.leases):
                exchange = await _advance(connections, exchange, call.answer[0], wanted)
        except BaseException as error:
            call.failed(error)
            raise
        finally:
            self.in_flight.pop(token, None)
        call.succeeded(fetched=fetch is not None)
        marker.server_ms.set(call.answer[0])
        return Answer(exchange, bool(call.answer[5]), bool(call.answer[6]))


def _rest(call: _Call, packed: Packed) -> list[Any]:
    """Return the script's arguments that follow the lease time; see lua/exchange.lua."""
    lost = list(chain.from_iterable(call.lost.items()))
    last = 7 + len(lost) + len(packed.settlements)
    return [len(call.lost), last, *lost, *packed.settlements, *packed.follow_ups]


async def _advance(connections: Connections, exchange: Exchange, now: int, wanted: int) -> Exchange:
    """Create the next jobs of schedules before the leases are handed out."""
    leases = exchange.leases
    due = await carry_on.advance(connections, leases[0].queue, now, leases)
    if due is None or len(leases) >= wanted:
        return exchange
    known = exchange.next_due
    return replace(exchange, next_due=due if known is None else min(due, known))
