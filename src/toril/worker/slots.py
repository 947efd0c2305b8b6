"""How many jobs run at once in a worker, shared by its queues."""

from __future__ import annotations

from typing import Protocol

from toril.worker.attempt import Attempt


class Hungry(Protocol):
    """A queue's pump, as the slots see it."""

    @property
    def hungry(self) -> bool:
        """Whether it would find work for a free slot."""
        ...

    def poke(self) -> None:
        """Tell it that there may be a slot for it."""
        ...


class Slots:
    """A number of places; a queue that has work takes its share of the free ones.

    Attributes:
        total: How many jobs may run at once.
        free: How many places are free.
        suspect: The job on its last chance that runs, or is about to; at most one does.
    """

    def __init__(self, total: int) -> None:
        """Prepare.

        Args:
            total: How many jobs may run at once.
        """
        self.total = total
        self.free = total
        self.suspect: Attempt | None = None
        self._pumps: list[Hungry] = []

    def join(self, pump: Hungry) -> None:
        """Let a pump share the slots."""
        self._pumps.append(pump)

    def take(self, taker: Hungry) -> int:
        """Take a share of what is free: all of it, if nobody else is hungry."""
        if len(self._pumps) > 1:  # who was served longest ago is told first of free slots
            self._pumps.remove(taker)
            self._pumps.append(taker)
        hungry = sum(1 for pump in self._pumps if pump.hungry) if len(self._pumps) > 1 else 1
        taken = self.free if hungry <= 1 else -(-self.free // hungry)
        self.free -= taken
        return taken

    def give(self, n: int, giver: Hungry) -> None:
        """Give slots back, and tell those who would find work for them."""
        if n:
            self.free += n
            for pump in self._pumps:
                if pump is not giver and pump.hungry:
                    pump.poke()
