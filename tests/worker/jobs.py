"""Functions that run in processes of their own, which have to find them by name."""

import asyncio
import concurrent.futures
import ctypes
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from toril import Cancel, JobContext, Retry, Snooze, Unrecoverable, current_job


class Later(Retry):
    """A signal of an application's own."""


class Asleep(Snooze):
    """Another."""


class MuteError(Exception):
    """An error that cannot say its message."""

    def __str__(self):
        raise RuntimeError("no words")


@dataclass
class Point:
    x: int
    y: float = 0.5


def double(x: int) -> int:
    return 2 * x


async def double_in_a_coroutine(x: int) -> int:
    await asyncio.sleep(0)
    return 2 * x


def move(job: JobContext, point: Point, by: int = 1) -> Point:
    return Point(point.x + by, point.y)


def report(job: JobContext) -> dict:
    job.progress(10)
    job.log("first")
    job.log("second\nline")
    job.progress({"done": 1})
    return {
        "id": job.id,
        "name": job.name,
        "queue": job.queue,
        "attempt": job.attempt,
        "attempts": job.attempts,
        "priority": job.priority,
        "tags": list(job.tags),
        "metadata": job.metadata,
        "correlation_id": job.correlation_id,
        "current": current_job().id,
    }


def log_a_surrogate(job: JobContext) -> int:
    job.log("name \ud800 of a file")
    return 5


def echo(job: JobContext, value):
    job.progress(value)
    job.log(f"{value}")
    return value


def log_much(job: JobContext, n: int, length: int = 1) -> int:
    for number in range(n):
        job.log(f"{number}".ljust(length, "."))
    return n


def report_much(job: JobContext) -> int:
    job.progress({"log": "x" * 1_000_000})
    return 5


def raise_much():
    raise ValueError("x" * 1_000_000)


def pid() -> int:
    return os.getpid()


def say(text: str) -> str:
    print(text)
    return text


def process(job: JobContext):
    return [job.name, job.data]


def measure(job: JobContext, text: str) -> list:
    return [len(text), job.data == {"text": text}]


# Endings


def raise_retry():
    raise Retry("no quota", after=0.01)


def raise_later():
    raise Later("later", after=0.01)


def return_retry():
    return Retry("no quota", after=0.01)


def snooze_once(path: str) -> str:
    if mark(path) == 1:
        raise Snooze(0.01)
    return "awake"


def return_snooze_once(path: str):
    return Asleep(0.01) if mark(path) == 1 else "awake"


def raise_cancel():
    raise Cancel("not wanted")


def return_cancel():
    return Cancel("not wanted")


def raise_unrecoverable():
    raise Unrecoverable("hopeless")


def return_unrecoverable():
    return Unrecoverable("hopeless")


def raise_value_error():
    raise ValueError("broken")


def raise_group():
    raise ExceptionGroup("both", [ValueError("one"), KeyError("two")])


def raise_group_with_retry():
    raise ExceptionGroup("both", [ValueError("one"), Retry(after=0.01)])


def raise_mute():
    raise MuteError


def raise_surrogate():
    raise ValueError("bad \ud800 name")


def raise_keyboard_interrupt():
    raise KeyboardInterrupt


def raise_system_exit():
    raise SystemExit(3)


def raise_stop_iteration():
    raise StopIteration


def raise_cancelled():
    raise asyncio.CancelledError


def raise_futures_cancelled():
    raise concurrent.futures.CancelledError


def raise_generator_exit():
    raise GeneratorExit


def return_an_object():
    return object()


def return_nan() -> float:
    return float("nan")


def return_much() -> str:
    return "x" * 200


def succeed_at_the_third(path: str) -> str:
    n = mark(path)
    if n < 3:
        raise ValueError(f"attempt {n}")
    return f"attempt {n}"


# Crashes


def exit_at_once(code: int):
    os._exit(code)


def segfault():
    signal.signal(signal.SIGSEGV, signal.SIG_DFL)
    ctypes.string_at(0)


def kill_itself():
    os.kill(os.getpid(), signal.SIGKILL)


def crash_once(path: str) -> str:
    if mark(path) == 1:
        os._exit(1)
    return "alive"


# Processes that a handler starts


def fork_and_die(path: str):
    """Leave a fork behind, which has everything open that this process has."""
    if os.fork() == 0:
        run_for_ever(path)
    while not Path(path).exists():
        time.sleep(0.01)
    os._exit(3)


def fork_and_return(path: str) -> str:
    if os.fork() == 0:
        run_for_ever(path)
    return "forked"


def start_a_program_and_stay(path: str):
    sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    mark(path, str(sleeper.pid))
    run_for_ever(path)


def start_a_program_and_hold(path: str):
    sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    mark(path, str(sleeper.pid))
    hold_the_interpreter(path)


def terminate_a_program() -> int:
    sleeper = subprocess.Popen(
        [sys.executable, "-c", "import time; print(flush=True); time.sleep(600)"],
        stdout=subprocess.PIPE,
    )
    sleeper.stdout.readline()
    sleeper.terminate()
    return sleeper.wait()


_kept: list[bytes] = []


def keep(size: int) -> int:
    _kept.append(b"x" * size)
    return os.getpid()


class Workshop:
    """Its methods are found by their names, except for those that need an object."""

    def of_an_object(self, x: int) -> int:
        return x

    @classmethod
    def of_the_class(cls, x: int) -> int:
        return x * len(cls.__name__)

    @staticmethod
    def of_nobody(x: int) -> int:
        return -x


# Long work


def mark(path: str, text: str = "") -> int:
    """Add a line to a file; return how many there are."""
    file = Path(path)
    with file.open("a") as out:
        out.write(f"{text or os.getpid()}\n")
    return len(file.read_text().splitlines())


def run_for_ever(path: str):
    mark(path)
    while True:
        time.sleep(0.01)


def hold_the_interpreter(path: str):
    """Let nothing else run in this process, as some libraries do."""
    mark(path)
    re.match(r"(a+)+$", "a" * 60 + "b")


def run_until_told(path: str, go: str) -> str:
    mark(path)
    wait_for(go)
    return "told"


def wait_for(path: str):
    while not Path(path).exists():
        time.sleep(0.01)


def ignore_sigterm_for_ever(path: str):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    run_for_ever(path)
