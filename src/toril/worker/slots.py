"""How many jobs run at once in a worker, shared by its queues."""

from __future__ import annotations

from itertools import islice
from typing import Protocol

from toril.worker.attempt import Attempt


class Hungry(Protocol):
    """A queue's pump, as the slots see it."""

    @property
    def hungry(self) -> bool:
        """Whether it expects to find work for a free slot."""
        ...

    def poke(self) -> None:
        """Tell it that there may be a slot for it."""
        ...


class Slots:
    """A number of slots. A queue that has work takes its share of the free ones.

    Everything here costs as much as there are slots, however many queues there are.

    Attributes:
        total: How many jobs may run at once.
        free: How many slots are free.
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
        self._pumps = 0
        self._hungry: dict[Hungry, None] = {}  # served longest ago first

    def join(self, pump: Hungry) -> None:
        """Let a pump share the slots."""
        self._pumps += 1
        self.update(pump)

    def update(self, pump: Hungry) -> None:
        """Note whether a pump is hungry now; it calls this whenever that changes."""
        if pump.hungry:
            self._hungry.setdefault(pump)
        else:
            self._hungry.pop(pump, None)

    def share(self, pump: Hungry) -> int:
        """Return how many of the free slots are a pump's; it takes them with `take`.

        The hungry share evenly. What cannot be divided goes to those served longest ago. A
        pump without rivals may have all.
        """
        rivals = len(self._hungry) + (pump not in self._hungry)
        if rivals <= 1:
            return self.free
        each, left = divmod(self.free, rivals)
        return each + (pump in islice(self._hungry, left))

    def take(self, pump: Hungry, most: int) -> int:
        """Take a pump's share, but no more than `most`; return how many slots that is."""
        taken = min(self.share(pump) if self._pumps > 1 else self.free, most)
        if taken and self._pumps > 1 and pump in self._hungry:
            del self._hungry[pump]
            self._hungry[pump] = None
        self.free -= taken
        return taken

    def give(self, n: int, giver: Hungry) -> None:
        """Give slots back, and tell those of the others that may take one."""
        self.free += n
        if self.free and self._pumps > 1:
            for pump in tuple(islice(self._hungry, self.free + 1)):
                if pump is not giver:
                    pump.poke()
