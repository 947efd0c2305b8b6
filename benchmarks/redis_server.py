"""A Redis server of the benchmark's own: loopback only, a free port, as durable as asked for."""

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory

from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

HOST = "127.0.0.1"
START_TIMEOUT = 10.0
STOP_TIMEOUT = 5.0


@contextmanager
def redis_server(appendfsync: str | None = None, scratch: str | None = None) -> Iterator[int]:
    """Run a server as long as the context lasts; gives its port.

    Args:
        appendfsync: When it syncs its log of writes; None keeps nothing on the disk.
        scratch: Where its directory is made; the system's temporary one unless given.
    """
    port = free_port()
    with TemporaryDirectory(prefix="toril-bench-redis-", dir=scratch) as directory:
        process = _start(port, directory, appendfsync)
        try:
            _wait_until_ready(process, port)
            yield port
        finally:
            _stop(process)


def flush(port: int) -> None:
    """Empty the benchmark's server."""
    with Redis(host=HOST, port=port) as client:
        client.flushall()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _start(port: int, directory: str, appendfsync: str | None) -> subprocess.Popen[bytes]:
    where = ["--port", str(port), "--bind", HOST, "--dir", directory]
    kept = ["--save", "", "--appendonly", "no" if appendfsync is None else "yes"]
    if appendfsync is not None:
        kept += ["--appendfsync", appendfsync]
    return subprocess.Popen(
        ["redis-server", *where, *kept],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _wait_until_ready(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    with Redis(host=HOST, port=port) as client:
        while not _answers_as(process.pid, client):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"redis-server did not start on port {port}")
            time.sleep(0.02)


def _answers_as(pid: int, client: Redis) -> bool:
    """Whether the server that answers is the one that was started, and no other."""
    try:
        return bool(client.info("server")["process_id"] == pid)
    except RedisConnectionError:
        return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
