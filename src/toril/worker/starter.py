"""Starting attempts: those that end without waiting for anything share a task.

Making a task costs more than a short handler. So a task takes the attempts that wait to be
started one after the other, each in a context of its own, until one of them waits for
something: from then on the task is that attempt's alone, and another takes the rest.
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
    """Starts a queue's attempts in their order."""

    def __init__(self, loop: asyncio.AbstractEventLoop, run: Run) -> None:
        """Prepare.

        Args:
            loop: The event loop.
            run: Runs an attempt to its end.
        """
        self._loop = loop
        self._run = run
        self._waiting: deque[Attempt] = deque()
        self._newest: asyncio.Task[bool] | None = None  # kept until its attempt keeps it

    def put(self, attempts: Iterable[Attempt]) -> None:
        """Let attempts begin when somebody serves them next, in their order."""
        self._waiting.extend(attempts)

    def spawn(self) -> None:
        """Serve what waits in a task of its own, and in more of them as they are needed."""
        if self._waiting:
            self._newest = self._loop.create_task(self.serve(self.spawn))

    async def serve(self, pass_on: Callable[[], None]) -> bool:
        """Run what waits in the task of the caller, until an attempt keeps that for itself.

        Args:
            pass_on: Called when that happens, so that another task goes on.

        Returns:
            Whether it has happened; the attempt has ended then, and so should the task.
        """
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - it runs here
        while self._waiting:
            attempt = self._waiting.popleft()
            if attempt.resolved:  # it was given back before it began
                continue
            attempt.task = task
            if await _drive(self._run(attempt), copy_context(), pass_on):
                return True
            if task.cancelling():  # a handler stopped itself: its task ends at the next wait
                pass_on()
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
        except BaseException as error:  # noqa: BLE001 - the task was cancelled, or is closed
            step: Callable[[Any], Any] = work.throw
            answer = error
        else:
            step = work.send
        try:
            awaited = context.run(step, answer)
        except StopIteration:
            return True
