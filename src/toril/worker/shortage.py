"""Rests a worker while its host lacks what it takes to start a handler.

Without files, threads, processes or memory every job would fail at once, and a queue would lose
all its attempts within moments although no handler is to blame. So these jobs are released, the
worker fetches none for a while, and other workers can take them.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import random
from collections.abc import Callable

from toril.errors import TorilError
from toril.model.exceptions import description_of
from toril.model.real_type import is_a

_logger = logging.getLogger("toril.worker")

_FIRST_PAUSE = 0.5  # seconds
_LONGEST_PAUSE = 30.0  # seconds

_PROCESSES = (
    "too many processes or threads; raise the limit (ulimit -u, TasksMax= of systemd, pids.max of "
    "the container), or lower the worker's concurrency"
)
_MEMORY = (
    "out of memory; raise the limit (ulimit -v, MemoryMax= of systemd, the container's memory), "
    "or lower the worker's concurrency"
)
_ADVICE = {
    errno.EMFILE: "this process has too many open files; raise the limit (ulimit -n, LimitNOFILE= "
    "of systemd), or lower the worker's concurrency",
    errno.ENFILE: "this machine has too many open files; raise fs.file-max",
    errno.EAGAIN: _PROCESSES,
    errno.ENOMEM: _MEMORY,
    errno.ENOSPC: "a disk is full; make room",
    errno.EDQUOT: "a disk quota is used up; make room",
}


class NotStartedError(TorilError):
    """A handler was not started, for a reason that lies with the host and not with the job."""

    @classmethod
    def because(cls, error: BaseException) -> NotStartedError:
        """Return the error for what the system has refused, with the limit and the fix."""
        return cls(advice_on(error) or description_of(error))


def advice_on(error: BaseException | None) -> str | None:
    """Return which limit of the host an error is about, and the fix; None if it is about none."""
    if error is None:
        return None
    if is_a(error, MemoryError):
        return f"{_MEMORY} ({description_of(error)})"
    if is_a(error, RuntimeError) and "can't start new thread" in description_of(error):
        return f"{_PROCESSES} ({description_of(error)})"
    advice = _ADVICE.get(error.errno or 0) if is_a(error, OSError) else None
    return None if advice is None else f"{advice} ({description_of(error)})"


class Shortage:
    """Whether the host lacks something, and the pauses that the worker makes meanwhile.

    Attributes:
        is_resting: Whether the worker should fetch no jobs now.
    """

    def __init__(self, changed: Callable[[], None]) -> None:
        """Start without a shortage.

        Args:
            changed: Called when `is_resting` changes.
        """
        self._changed = changed
        self._pause = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self.is_resting = False

    def noticed(self, error: NotStartedError) -> None:
        """Rest, longer each time in a row, because a handler could not be started."""
        if self.is_resting:
            return
        if not self._pause:
            _logger.error(
                "cannot start handlers: %s. Their jobs are released, and this worker takes no "
                "others until it can",
                error,
            )
        self._pause = min(max(self._pause * 2, _FIRST_PAUSE), _LONGEST_PAUSE)
        pause = self._pause * (0.5 + random.random() / 2)  # noqa: S311 - not a secret
        self._set(pause, self._try_again)
        self.is_resting = True
        self._changed()

    def _try_again(self) -> None:
        self._set(self._pause, self._over)
        self.is_resting = False
        self._changed()

    def _over(self) -> None:
        """End the shortage: handlers have been started for as long as the last pause took."""
        self._pause = 0.0
        _logger.warning("handlers can be started again")

    def _set(self, seconds: float, then: Callable[[], None]) -> None:
        self.close()
        self._timer = asyncio.get_running_loop().call_later(seconds, then)

    def close(self) -> None:
        """Stop the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
