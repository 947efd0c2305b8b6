"""A real Redis server of the tests' own: loopback only, a free port, and its clock by hand."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

PATIENCE = 10  # seconds until it answers
_SHIM = Path(__file__).with_name("movable_clock.c")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _shim(folder: Path) -> Path:
    """Compile what moves a server's clock."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise RuntimeError("a C compiler is missing: install one (Debian: gcc libc6-dev)")
    library = folder / "movable_clock.so"
    command = [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(_SHIM)]
    subprocess.run(command, check=True)
    return library


class RedisServer:
    """A server that is started and stopped, and whose time can be moved.

    Attributes:
        port: Where it listens.
        url: The same as a URL.
        now_ms: What its clock shows, where that can be moved.
    """

    def __init__(
        self,
        folder: Path,
        *,
        options: Sequence[str] = (),
        config: Path | None = None,
        port: int | None = None,
        movable_clock: bool = False,
        clock_of: RedisServer | None = None,
    ) -> None:
        """Prepare.

        Args:
            folder: Where its files go.
            options: Of its command line.
            config: Its file of settings, which it may write to.
            port: Where it listens; a free one unless given.
            movable_clock: Whether its clock stands still until it is moved.
            clock_of: Another server, with whose clock its own moves.
        """
        self.folder = folder
        self.port = free_port() if port is None else port
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._config = [] if config is None else [str(config)]
        self._options = list(options)
        self._clock = folder / "clock" if movable_clock else None
        if clock_of is not None:
            self._clock = clock_of._clock
        self._has_own_clock = clock_of is None
        self.now_ms = time.time_ns() // 1_000_000
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, password: str = "") -> None:
        self._greeting = f"AUTH {password}\r\n".encode() if password else b""
        program = shutil.which("redis-server")
        if program is None:
            raise RuntimeError("redis-server is missing: install it (Debian: redis-server)")
        environment = dict(os.environ)
        if self._clock is not None:
            if self._has_own_clock:
                self._write_clock()
            environment |= {
                "LD_PRELOAD": str(_shim(self.folder)),
                "MOVABLE_CLOCK": str(self._clock),
            }
        command = [program, *self._config, "--port", str(self.port), "--bind", "127.0.0.1"]
        command += ["--save", "", "--dir", str(self.folder), *self._options]
        if self._clock is not None:
            # Its thread sleeps until a time of day, and would never sleep while that stands still.
            command += ["--jemalloc-bg-thread", "no"]
        with (self.folder / "redis.log").open("ab") as log:
            self._process = subprocess.Popen(
                command, env=environment, stdout=log, stderr=log, start_new_session=True
            )
        self._wait_until_ready()

    def _wait_until_ready(self) -> None:
        give_up = time.monotonic() + PATIENCE
        while not self._answers():
            assert self._process is not None
            assert self._process.poll() is None, (self.folder / "redis.log").read_text()
            assert time.monotonic() < give_up, (self.folder / "redis.log").read_text()
            time.sleep(0.01)

    def _answers(self) -> bool:
        with (
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", self.port), 1) as s,
        ):
            s.sendall(self._greeting + b"PING\r\n")
            return b"+PONG" in s.recv(64)
        return False

    def kill(self) -> None:
        """End it as a crash would."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def ask(self, *words: str | int) -> str:
        """Return what redis-cli prints for a command."""
        program = shutil.which("redis-cli")
        assert program is not None, "redis-cli is missing: install it (Debian: redis-tools)"
        command = [program, "-p", str(self.port), *map(str, words)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    def send(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait()

    def flush(self) -> None:
        """Remove everything."""
        with socket.create_connection(("127.0.0.1", self.port), PATIENCE) as s:
            s.sendall(b"FLUSHALL\r\n")
            assert s.recv(64).startswith(b"+OK")

    @property
    def masters(self) -> list[RedisServer]:
        """All servers that hold queues."""
        return [self]

    def pass_time(self, ms: int) -> None:
        """Move its clock on, which stands still otherwise."""
        self.now_ms += ms
        self._write_clock()

    def _write_clock(self) -> None:
        assert self._clock is not None
        # In one write of eight bytes to the page that the server has mapped.
        file = os.open(self._clock, os.O_WRONLY | os.O_CREAT)
        os.pwrite(file, self.now_ms.to_bytes(8, sys.byteorder, signed=True), 0)
        os.close(file)
