"""What jobs do in these tests: each handler says that it began, and that it got to its end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from functools import cache

from tests.faults.ledger import Ended, Ledger, Started, now
from tests.faults.programs.faultpoint import Point
from toril import JobContext, Queue

_FOR_EVER = 3600.0
_LOOK = 0.01

reach: Callable[[Point], None] = lambda _: None  # noqa: E731 - the worker puts its own here


@cache
def ledger() -> Ledger:
    return Ledger.from_environment()


@contextlib.contextmanager
def _recorded(job: JobContext) -> Iterator[None]:
    ledger().write(Started(job.id, job.lease.token, job.lease.attempts_started, now()))
    yield
    ledger().write(Ended(job.id, job.lease.token, now()))


def _first(job: JobContext) -> bool:
    return job.lease.attempts_started == 1


async def nap(job: JobContext, ms: int = 0) -> None:
    with _recorded(job):
        await asyncio.sleep(ms / 1000)
        reach("in-handler")


async def fail(job: JobContext, ms: int = 0) -> None:
    """Never succeed."""
    with _recorded(job):
        await asyncio.sleep(ms / 1000)
        reach("in-handler")
        raise ValueError(job.id)


def nap_in_thread(job: JobContext, ms: int = 0) -> None:
    with _recorded(job):
        time.sleep(ms / 1000)


async def block(job: JobContext, ms: int, after_ms: int = 0) -> None:
    """Do not let the event loop run."""
    with _recorded(job):
        await asyncio.sleep(after_ms / 1000)
        time.sleep(ms / 1000)  # noqa: ASYNC251 - what is tested


async def hold(job: JobContext) -> None:
    """The first time, go on until told to end."""
    with _recorded(job):
        if _first(job):
            await asyncio.sleep(_FOR_EVER)


def hold_in_thread(job: JobContext) -> None:
    with _recorded(job):
        while _first(job):
            if job.cancelled:
                raise InterruptedError
            time.sleep(_LOOK)


def hold_in_process(job: JobContext) -> None:
    with _recorded(job):
        if _first(job):
            time.sleep(_FOR_EVER)


def deaf_in_thread(job: JobContext, ms: int) -> None:
    """The first time, take long and do not look whether to end."""
    with _recorded(job):
        if _first(job):
            time.sleep(ms / 1000)


def exit_in_thread(job: JobContext, note: str, ms: int = 0) -> None:
    """Take the whole worker along."""
    with _recorded(job):
        time.sleep(ms / 1000)
        os._exit(3)


def segfault_in_process(job: JobContext, note: str) -> None:
    with _recorded(job):
        os.kill(os.getpid(), signal.SIGSEGV)


def nap_in_process(job: JobContext, ms: int = 0) -> None:
    with _recorded(job):
        time.sleep(ms / 1000)


def register(queue: Queue) -> None:
    """Give a queue all of the above, by the functions' names."""
    for function in (nap, fail, block, hold):
        queue.task(function.__name__)(function)
    for function in (nap_in_thread, hold_in_thread, deaf_in_thread, exit_in_thread):
        queue.task(function.__name__, run_in="thread")(function)
    for function in (nap_in_process, hold_in_process, segfault_in_process):
        queue.task(function.__name__, run_in="process")(function)
