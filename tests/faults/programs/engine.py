"""The engine under test, with faults at each step and a record of what it answered.

It is the only place where faults get in: src knows nothing of them.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Any

from tests.faults.ledger import READY, Ledger, Said, Settled, now
from tests.faults.programs.faultpoint import Faultpoint
from toril.engine.contract.engine import Engine
from toril.engine.contract.hot_path import Added, Batch, Exchange, Fetch
from toril.model.job import NewJob, QueueRef
from toril.model.settlement import Settlement


class FaultyEngine:
    """An engine of any kind, which may end or stop its process before and after each call."""

    def __init__(self, engine: Engine, ledger: Ledger, faultpoint: Faultpoint) -> None:
        self._engine = engine
        self._ledger = ledger
        self._faultpoint = faultpoint
        self._has_begun = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    async def add(
        self, queue: QueueRef, jobs: Sequence[NewJob], batch: Batch | None = None
    ) -> list[Added]:
        self._faultpoint.reach("before-add")
        added = await self._engine.add(queue, jobs, batch)
        self._faultpoint.reach("after-add")
        return added

    async def exchange(
        self, queue: QueueRef, settlements: Sequence[Settlement], fetch: Fetch | None
    ) -> Exchange:
        if not self._has_begun:  # from now on signals are heard
            self._has_begun = True
            self._ledger.write(Said("NOTE", READY))
        self._faultpoint.reach("before-exchange")
        if settlements:
            self._faultpoint.reach("before-settlement")
        begun = now()
        answer = await self._engine.exchange(queue, settlements, fetch)
        if settlements:
            self._faultpoint.reach("after-settlement")
        for settlement, refusal in zip(settlements, answer.results, strict=True):
            lease = settlement.lease
            self._ledger.write(
                Settled(
                    lease.id,
                    lease.token,
                    lease.attempts_started,
                    type(settlement).__name__,
                    begun,
                    refusal is None,
                )
            )
        if answer.leases:
            self._faultpoint.reach("after-exchange")
        return answer


class JumpingClock:
    """A clock whose wall time is moved by what a file says, for all processes at once."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def wall_ms(self) -> int:
        return time.time_ns() // 1_000_000 + int.from_bytes(os.pread(self._file, 8, 0), signed=True)

    def monotonic(self) -> float:
        return time.monotonic()

    @staticmethod
    def jump(path: str, offset_ms: int) -> None:
        file = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
        os.pwrite(file, offset_ms.to_bytes(8, signed=True), 0)
        os.close(file)
