"""Running the program, and what it answered."""

import contextlib
import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path
from typing import NamedTuple

SCRIPT = str(Path(sys.executable).with_name("toril"))
PATIENCE = 45

_OURS = re.compile(r"TORIL|REDIS|QUEUE_|WORKER_|LOG_LEVEL|NO_COLOR|PYTHON|COLUMNS|LC_|LANG|TERM")
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Answer(NamedTuple):
    """What a run ended in."""

    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)

    @property
    def said(self):
        """The one sentence on stderr."""
        (line,) = self.err.splitlines()
        return line


class Program:
    """The program in one folder, with nothing of the caller's settings."""

    def __init__(self, folder):
        self.folder = folder
        self.running = []

    def environment(self, **settings):
        kept = {k: v for k, v in os.environ.items() if not _OURS.match(k)}
        return {**kept, "TERM": "xterm", "LANG": "C.UTF-8", "PYTHONUNBUFFERED": "1", **settings}

    def __call__(self, *arguments, stdin=b"", **settings):
        """Run it to its end."""
        done = subprocess.run(
            [SCRIPT, *arguments],
            cwd=self.folder,
            env=self.environment(**settings),
            input=stdin,
            capture_output=True,
            timeout=PATIENCE,
            check=False,
        )
        return Answer(done.returncode, done.stdout.decode(), done.stderr.decode(errors="replace"))

    def shell(self, line, **settings):
        """Run a line of the shell, in which $toril is the program."""
        done = subprocess.run(
            ["sh", "-c", line],
            cwd=self.folder,
            env=self.environment(toril=SCRIPT, **settings),
            capture_output=True,
            timeout=PATIENCE,
            check=False,
        )
        return Answer(done.returncode, done.stdout.decode(), done.stderr.decode(errors="replace"))

    def start(self, *arguments, **settings):
        """Start it in a process group of its own, as a shell does."""
        self.running.append(Running(self, arguments, settings))
        return self.running[-1]

    def terminal(self, *arguments, columns=100, **settings):
        """Start it on a terminal."""
        self.running.append(Terminal(self, arguments, columns, settings))
        return self.running[-1]

    def write(self, name, text):
        (self.folder / name).write_text(text)

    def end(self):
        for running in self.running:
            running.kill()


class Running:
    """The program while it runs; what it says is read line by line."""

    def __init__(self, program, arguments, settings):
        self._process = subprocess.Popen(
            [SCRIPT, *arguments],
            cwd=program.folder,
            env=program.environment(**settings),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self.said = []

    def until(self, text):
        """Read until a line has a text, and return the line."""
        for line in self._process.stdout:
            self.said.append(line.rstrip("\n"))
            if text in line:
                return self.said[-1]
        raise AssertionError(f"{text!r} was not said: {self.said}")

    def signal(self, number, *, everybody=False):
        """Send a signal; to the whole group, as a terminal does, or to the program alone."""
        (os.killpg if everybody else os.kill)(self._process.pid, number)

    def wait(self, seconds):
        """Let it run for a while, unless it ends before."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)

    def result(self):
        """Wait for the end, and return the exit code."""
        out, _ = self._process.communicate(timeout=PATIENCE)
        self.said += out.splitlines()
        return self._process.returncode

    def kill(self):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.communicate()


class Terminal:
    """The program on a terminal; what it shows is text without colours."""

    def __init__(self, program, arguments, columns, settings):
        environment = program.environment(**settings)
        self._pid, self._terminal = pty.fork()
        if self._pid == 0:
            size = struct.pack("HHHH", 30, columns, 0, 0)
            fcntl.ioctl(0, termios.TIOCSWINSZ, size)
            os.chdir(program.folder)
            os.execve(SCRIPT, [SCRIPT, *arguments], environment)
        self.raw = ""
        self._ended = None

    @property
    def shown(self):
        return _CONTROL.sub("", self.raw).replace("\r\n", "\n")

    def _read(self):
        ready, _, _ = select.select([self._terminal], [], [], 1)
        if not ready:
            return True
        try:
            data = os.read(self._terminal, 1 << 16)
        except OSError:  # the other side has closed it
            return False
        self.raw += data.decode(errors="replace")
        return bool(data)

    def until(self, text):
        """Read until a text is shown."""
        give_up = time.monotonic() + PATIENCE
        while text not in self.shown:
            assert self._read(), f"{text!r} was not shown: {self.shown}"
            assert time.monotonic() < give_up, self.shown

    def type(self, keys):
        os.write(self._terminal, keys.encode())

    def result(self):
        """Wait for the end, and return the exit code."""
        give_up = time.monotonic() + PATIENCE
        while self._read():
            assert time.monotonic() < give_up, self.shown
        return self._wait()

    def _wait(self):
        if self._ended is None:
            os.close(self._terminal)
            self._ended = os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])
        return self._ended

    def kill(self):
        if self._ended is None:
            os.kill(self._pid, signal.SIGKILL)
            self._wait()
