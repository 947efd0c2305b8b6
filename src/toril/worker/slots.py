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

    def share(self, pump: Hungry) -> int:
        """Return how many of the free slots are a pump's; it takes them with `take`.

        The hungry share evenly; what cannot be divided goes to those who were served
        longest ago. A pump that nobody else competes with may have all.
        """
        rivals = [other for other in self._pumps if other.hungry or other is pump]
        if len(rivals) <= 1:
            return self.free
        each, left = divmod(self.free, len(rivals))
        return each + (rivals.index(pump) < left)

    def take(self, pump: Hungry, most: int) -> int:
        """Take a pump's share, but no more than `most`; return how many slots that is."""
        taken = min(self.share(pump) if len(self._pumps) > 1 else self.free, most)
        if taken and len(self._pumps) > 1:
            self._pumps.remove(pump)
            self._pumps.append(pump)
        self.free -= taken
        return taken

    def give(self, n: int, giver: Hungry) -> None:
        """Give slots back; tell the others of all that are free, longest served ago first."""
        self.free += n
        if self.free and len(self._pumps) > 1:
            for pump in tuple(self._pumps):
                if pump is not giver and pump.hungry:
                    pump.poke()
