"""Starts attempts. Attempts that finish without waiting for anything share an asyncio task.

Creating a task costs more than running a short handler. A task therefore runs pending attempts
one after the other, each in its own context, until one of them waits for something. From then on
the task belongs to that attempt, and another task runs the remaining ones.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Generator, Iterable
from contextvars import Context, copy_context
from types import coroutine
from typing import Any, TypeAlias

from toril.worker.attempt import Attempt

Run: TypeAlias = Callable[[Attempt], Coroutine[Any, Any, None]]


class Starter:
    """Starts a queue's attempts in order."""

    def __init__(self, loop: asyncio.AbstractEventLoop, run: Run) -> None:
        """Create a starter.

        Args:
            loop: The event loop.
            run: Runs an attempt to its end.
        """
        self._loop = loop
        self._run = run
        self._waiting: deque[Attempt] = deque()
        self._newest: asyncio.Task[bool] | None = None  # referenced until its attempt does so

    def put(self, attempts: Iterable[Attempt]) -> None:
        """Queue attempts, in order, for the next call of `serve`."""
        self._waiting.extend(attempts)

    def spawn(self) -> None:
        """Run pending attempts in a new task, and in more tasks as needed."""
        if self._waiting:
            self._newest = self._loop.create_task(self.serve(self.spawn))

    async def serve(self, hand_over: Callable[[], None]) -> bool:
        """Run pending attempts in the caller's task, until an attempt takes over that task.

        Args:
            hand_over: Called when an attempt takes over, to continue in another task.

        Returns:
            Whether an attempt took over. It has ended by then, and the task should end too.
        """
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - this coroutine runs in a task
        while self._waiting:
            attempt = self._waiting.popleft()
            if attempt.resolved:  # it was released before it started
                continue
            attempt.task = task
            if await _drive(self._run(attempt), copy_context(), hand_over):
                return True
            if task.cancelling():  # a handler cancelled itself: the task ends at the next await
                hand_over()
                return True
        return False


@coroutine
def _drive(
    work: Coroutine[Any, Any, None], context: Context, on_wait: Callable[[], None]
) -> Generator[Any, Any, bool]:
    """Run a coroutine in a context; return whether it had to wait."""
    try:
        awaited = context.run(work.send, None)
    except StopIteration:
        return False
    on_wait()
    while True:
        try:
            answer = yield awaited
        except BaseException as error:  # noqa: BLE001 - the task was cancelled or closed
            step: Callable[[Any], Any] = work.throw
            answer = error
        else:
            step = work.send
        try:
            awaited = context.run(step, answer)
        except StopIteration:
            return True
