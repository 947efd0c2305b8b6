"""A worker's slots, which its queues share."""

from __future__ import annotations

from itertools import islice
from typing import Protocol

from toril.worker.attempt import Attempt


class Hungry(Protocol):
    """The part of a pump that the slots need."""

    @property
    def hungry(self) -> bool:
        """Whether the pump expects to find work for a free slot."""
        ...

    def poke(self) -> None:
        """Notify the pump that a slot may be free."""
        ...


class Slots:
    """A fixed number of slots. Each queue that has work gets a share of the free ones.

    The cost of every operation depends on the number of slots, not on the number of queues.

    Attributes:
        total: How many jobs may run at once.
        free: How many slots are free.
        suspect: The attempt at a last-chance job that is running or about to run; at most one.
    """

    def __init__(self, total: int) -> None:
        """Create slots that are all free.

        Args:
            total: How many jobs may run at once.
        """
        self.total = total
        self.free = total
        self.suspect: Attempt | None = None
        self._pumps = 0
        self._hungry: dict[Hungry, None] = {}  # the least recently served first

    def join(self, pump: Hungry) -> None:
        """Add a pump to those that share the slots."""
        self._pumps += 1
        self.update(pump)

    def update(self, pump: Hungry) -> None:
        """Record whether a pump is hungry; the pump calls this whenever that changes."""
        if pump.hungry:
            self._hungry.setdefault(pump)
        else:
            self._hungry.pop(pump, None)

    def share(self, pump: Hungry) -> int:
        """Return how many of the free slots a pump may take with `take`.

        Hungry pumps share the slots evenly. The remainder goes to those served least recently.
        A pump without rivals may take them all.
        """
        rivals = len(self._hungry) + (pump not in self._hungry)
        if rivals <= 1:
            return self.free
        each, left = divmod(self.free, rivals)
        return each + (pump in islice(self._hungry, left))

    def take(self, pump: Hungry, most: int) -> int:
        """Take a pump's share, at most `most` slots, and return how many were taken."""
        taken = min(self.share(pump) if self._pumps > 1 else self.free, most)
        if taken and self._pumps > 1 and pump in self._hungry:
            del self._hungry[pump]
            self._hungry[pump] = None
        self.free -= taken
        return taken

    def give(self, n: int, giver: Hungry) -> None:
        """Return slots, and notify other pumps that may now take one."""
        self.free += n
        if self.free and self._pumps > 1:
            for pump in tuple(islice(self._hungry, self.free + 1)):
                if pump is not giver:
                    pump.poke()
