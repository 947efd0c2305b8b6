"""What has to happen when this process forks.

A fork copies memory, connections and locks, but of the threads only the one that forks. What
relied on another thread, or talked over a connection, must start over in the child. It must leave
the copies alone there: the parent goes on using the same connections.
"""

from __future__ import annotations

import logging
import os
import threading
from typing import Any
from weakref import WeakSet

_logger = logging.getLogger("toril.engine")


class ForkAware:
    """The base class of what does something when the process forks, after `watch_forks`."""

    def before_fork(self) -> None:
        """Prepare; runs in the thread that forks."""

    def after_fork(self) -> None:
        """Go on in the parent."""

    def start_over(self) -> None:
        """Forget, in the child, what belongs to the parent. Must not block."""


_aware: WeakSet[ForkAware] = WeakSet()
_forking: list[ForkAware] = []
_one_at_a_time = threading.Lock()
_left_behind: list[Any] = []


def watch_forks(aware: ForkAware) -> None:
    """Call an object's methods whenever the process forks, for as long as the object lives."""
    with _one_at_a_time:
        _aware.add(aware)


def leave_behind(*parents: Any) -> None:
    """Keep what belongs to the parent for ever, because its end would act on the parent's files.

    Args:
        *parents: Loops, connections and threads that the child must neither use nor close.
    """
    _left_behind.append(parents)


def warn_of_fork(location: str, *, is_shared: bool = True) -> None:
    """Log that a store which was in use before a fork is opened again in the child.

    Args:
        location: The store's URL without a password.
        is_shared: Whether the child finds the parent's jobs in it.
    """
    found = "connects again" if is_shared else "has an empty store of its own"
    _logger.warning(
        "%s: this process was forked from one that had used the manager, and %s. Workers and waits "
        "stay in the parent. To avoid this, use the manager only after the fork",
        location,
        found,
    )


def _before() -> None:
    _one_at_a_time.acquire()
    _forking[:] = _aware
    for aware in _forking:
        aware.before_fork()


def _in_parent() -> None:
    for aware in _forking:
        aware.after_fork()
    _forking.clear()
    _one_at_a_time.release()


def _in_child() -> None:
    for aware in _forking:
        aware.start_over()
    _forking.clear()
    _one_at_a_time.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)
