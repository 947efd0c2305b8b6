"""Waiting for what has no signal of its own: a state in the store, a file, a process."""

import asyncio
import contextlib
import inspect
from pathlib import Path

import pytest

from toril import JobFailedError, JobState


async def until(condition):
    """Wait until a function, or a coroutine function, returns something true, and return it."""
    while True:
        found = condition()
        if inspect.isawaitable(found):
            found = await found
        if found:
            return found
        await asyncio.sleep(0.01)


async def until_state(handle, state):
    """Wait until a job is in a state, and return it."""

    async def reached():
        job = await handle.job()
        return job if job.state is JobState(state) else None

    return await until(reached)


async def lines_of(path, n):
    """Wait until a file has so many lines, and return them."""
    file = Path(path)

    def read():
        lines = file.read_text().splitlines() if file.exists() else []
        return lines if len(lines) >= n else None

    return await until(read)


async def failure_of(handle):
    """Return the error that a job fails with."""
    with pytest.raises(JobFailedError) as caught:
        await handle.result(15)
    return caught.value


def children():
    """The processes that this one has started and that still run."""
    found = set()
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # a thread that has ended
            found.update(map(int, (task / "children").read_text().split()))
    return found


def has_ended(pid):
    """Whether a process has ended, even if nobody has asked for its exit code."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True
