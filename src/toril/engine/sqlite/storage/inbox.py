"""What the writer's thread is to do next: run calls, pause while the process forks, or end."""

from __future__ import annotations

import contextlib
import threading
from queue import Empty, SimpleQueue
from typing import TypeAlias

from toril.engine.sqlite.storage.call import Call

_MOST_CALLS = 500  # per commit
_LONGEST_SECONDS = 15.0  # a transaction waits up to ten seconds for another process's lock


class Pause:
    """A pause that one thread asks for and another makes."""

    def __init__(self) -> None:
        """Ask for a pause."""
        self._begun = threading.Event()
        self._over = threading.Event()

    def begin(self) -> None:
        """Pause, in the thread that was asked, until the other one ends the pause."""
        self._begun.set()
        self._over.wait()

    def wait_until_it_begins(self) -> None:
        """Wait, in the thread that asked, until the other one pauses."""
        self._begun.wait(_LONGEST_SECONDS)

    def end(self) -> None:
        """End the pause."""
        self._over.set()


Item: TypeAlias = Call | Pause | None
"""A call to run, a pause to make, or None to end the thread."""


class Inbox:
    """Items that any thread puts in and the writer's thread takes out, in order."""

    def __init__(self) -> None:
        """Start empty."""
        self._items: SimpleQueue[Item] = SimpleQueue()
        self.put = self._items.put

    def take(self) -> tuple[list[Call], Item]:
        """Wait for calls and take all that are there.

        Returns:
            The calls, and what ended them: another call, a pause, or None for the thread's end.
        """
        calls: list[Call] = []
        item = self._items.get()
        with contextlib.suppress(Empty):
            while isinstance(item, Call):
                calls.append(item)
                if len(calls) == _MOST_CALLS:
                    break
                item = self._items.get_nowait()
        return calls, item

    def take_rest(self) -> list[Call]:
        """Take the calls that are left when the thread ends, and let nobody wait for a pause."""
        left: list[Call] = []
        while not self._items.empty():
            item = self._items.get_nowait()
            if isinstance(item, Call):
                left.append(item)
            elif item is not None:
                item.end()
                item.begin()
        return left
