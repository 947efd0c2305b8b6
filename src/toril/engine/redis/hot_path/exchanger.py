"""Exchanging: one script call, made up for by the next if its reply is lost."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from itertools import count
from typing import Any, NamedTuple

from msgspec.structs import replace

from toril.engine.contract.hot_path import Exchange, Fetch
from toril.engine.redis.connection.connections import Connections
from toril.engine.redis.hot_path import carry_on
from toril.engine.redis.hot_path.exchange import Packed, asker_of, unpack
from toril.engine.redis.hot_path.marker import QueueMarker
from toril.engine.redis.hot_path.unanswered import AllUnanswered, Unanswered
from toril.errors import StoreFullError, StoreReadOnlyError, StoreUnavailableError
from toril.model.job import QueueRef
from toril.model.repeating import PREFIX
from toril.model.settlement import Settlement

_NOT_CARRIED_OUT = (StoreUnavailableError, StoreFullError, StoreReadOnlyError)


class Answer(NamedTuple):
    """An exchange's answer, and what else the script said.

    Attributes:
        exchange: The answer.
        has_unsorted: Jobs are left to be put into the lanes of their keys.
        was_gone: The queue did not exist any more.
    """

    exchange: Exchange
    has_unsorted: bool
    was_gone: bool


class _Call:
    """One exchange on its way: its token, its record, and what it makes up for."""

    __slots__ = ("answer", "lost", "record", "token", "unanswered")

    def __init__(self, token: str, unanswered: Unanswered) -> None:
        self.token = token
        self.unanswered = unanswered
        self.record, self.lost = unanswered.begin()
        self.answer: Any = None

    def failed(self, error: BaseException) -> None:
        """Forget it if it never ran; otherwise let the next exchange make up for it."""
        if self.answer is None and isinstance(error, _NOT_CARRIED_OUT):
            # An outage of hours has thousands of calls that never ran.
            self.unanswered.withdraw(self.record, self.lost)
        else:
            # Either reply may be the lost one: the next exchange hands the leases out again,
            # and carries their schedules on.
            self.unanswered.fail(self.record, self.token, self.lost)


class Exchanger:
    """The exchanges of one engine.

    Attributes:
        in_flight: The queue and the record of each exchange that has no answer yet, by token.
    """

    def __init__(self) -> None:
        """Start with none."""
        self._salt = secrets.token_hex(4)
        self._numbers = count()
        self._unanswered = AllUnanswered()
        self.in_flight: dict[str, tuple[QueueRef, str]] = {}

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
        worker, wanted, lease_ms = asker_of(settlements, fetch)
        token = f"{worker}:{self._salt}{next(self._numbers)}"
        call = _Call(token, self._unanswered[queue, worker])
        if fetch is not None:
            # A handler may block the event loop before the answer arrives: the keeper renews
            # leases that nobody here has seen yet.
            self.in_flight[token] = queue, call.record
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
            exchange = unpack(queue, call.answer, packed.order, packed.again)
            if any(lease.id.startswith(PREFIX) for lease in exchange.leases):
                exchange = await _carry_on(connections, exchange, call.answer[0], wanted)
        except BaseException as error:
            call.failed(error)
            raise
        finally:
            self.in_flight.pop(token, None)
        call.unanswered.succeed(call.record, call.lost)
        marker.server_ms.set(call.answer[0])
        return Answer(exchange, bool(call.answer[5]), bool(call.answer[6]))


def _rest(call: _Call, packed: Packed) -> list[Any]:
    """Return the arguments from the number of lost exchanges on; see exchange.lua."""
    lost = [text for pair in call.lost.items() for text in pair]
    last = 7 + len(lost) + len(packed.settlements)
    return [len(call.lost), last, *lost, *packed.settlements, *packed.follow_ups]


async def _carry_on(
    connections: Connections, exchange: Exchange, now: int, wanted: int
) -> Exchange:
    """Create the next jobs of schedules, before their jobs are handed out."""
    leases = exchange.leases
    due = await carry_on.advance(connections, leases[0].queue, now, leases)
    if due is None or len(leases) >= wanted:
        return exchange
    known = exchange.next_due
    return replace(exchange, next_due=due if known is None else min(due, known))
