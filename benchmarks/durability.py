"""What Redis keeps of accepted jobs when it is killed, and when the power is lost.

python -m benchmarks.durability: for each `appendfsync`, jobs are added until the server is
killed with SIGKILL. A kill leaves the page cache, so all that was written is there afterwards.
A loss of power does not: it is shown by cutting the append-only file down to the size that it
had a second before the kill, which is what `everysec` may lose, and in the middle of an entry.
With `always` nothing is cut: Redis answers after the sync. With `no` the system decides.
"""

import asyncio
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from benchmarks.redis_server import HOST, free_port
from toril import QueueManager, Settings, StoreBusyError, StoreUnavailableError

POLICIES = ("always", "everysec", "no")
PRODUCERS = 100
SECONDS = 4.0
UNSYNCED = {"everysec": 1.0}  # seconds of writes that a loss of power may take
TORN = 10  # bytes of the last entry that is left
SAMPLE = 0.02


class Server:
    """A server with an append-only file, to be killed and started again."""

    def __init__(self, folder: Path, policy: str) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"redis://{HOST}:{self.port}/0"
        self._options = ["--save", "", "--appendonly", "yes", "--appendfsync", policy]
        self._options += ["--auto-aof-rewrite-percentage", "0"]  # one file, to be cut

    @contextmanager
    def running(self) -> Iterator[subprocess.Popen[bytes]]:
        where = ["--port", str(self.port), "--bind", HOST, "--dir", str(self.folder)]
        process = subprocess.Popen(
            ["redis-server", *where, *self._options], stdout=subprocess.DEVNULL
        )
        try:
            self._wait_until_ready(process)
            yield process
        finally:
            process.kill()
            process.wait()

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        with Redis(host=HOST, port=self.port) as client:
            while process.poll() is None:
                with suppress(RedisConnectionError):  # it loads, or does not listen yet
                    client.ping()
                    return
                time.sleep(SAMPLE)
        raise RuntimeError("redis-server did not start")

    @property
    def log(self) -> Path:
        """The part of the append-only file that grows."""
        return max(self.folder.glob("appendonlydir/*.incr.aof"))

    def jobs(self) -> tuple[set[str], set[str]]:
        """Return the ids that wait, and those whose job is stored."""
        with Redis(host=HOST, port=self.port, decode_responses=True) as client:
            waiting = set(client.lrange("bull:q:wait", 0, -1))
            stored = {key.rpartition(":")[2] for key in client.scan_iter("bull:q:job-*", 10_000)}
        return waiting, stored


class Added:
    """What was accepted, and how the append-only file grew meanwhile."""

    def __init__(self) -> None:
        self.ids: set[str] = set()
        self.sizes: list[tuple[float, int]] = []
        self.killed = 0.0

    def size_before(self, seconds: float) -> int:
        return max(size for at, size in self.sizes if at <= self.killed - seconds)


async def add_until_it_is_killed(server: Server, process: subprocess.Popen[bytes]) -> Added:
    """Add jobs one by one from many coroutines, and kill the server in the middle."""
    added = Added()
    manager = QueueManager(server.url, settings=Settings())
    await manager.open()

    async def produce(producer: int) -> None:
        with suppress(StoreBusyError, StoreUnavailableError):
            for number in range(10**9):
                handle = await manager.add_job("q", job_id=f"job-{producer}-{number}")
                added.ids.add(handle.id)

    producers = [asyncio.create_task(produce(n)) for n in range(PRODUCERS)]
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        added.sizes.append((time.monotonic(), server.log.stat().st_size))
        await asyncio.sleep(SAMPLE)
    process.kill()
    added.killed = time.monotonic()
    await asyncio.gather(*producers)
    await manager.shutdown()
    return added


async def measure(policy: str) -> None:
    with TemporaryDirectory(prefix="toril-durability-") as folder:
        server = Server(Path(folder), policy)
        with server.running() as process:
            added = await add_until_it_is_killed(server, process)
        accepted = len(added.ids)
        print(f"\nappendfsync {policy}: {accepted:,} accepted, {accepted / SECONDS:,.0f} a second")
        with server.running():
            report("killed", added, *server.jobs())
        if (seconds := UNSYNCED.get(policy)) is None:
            return
        with server.log.open("r+b") as log:
            log.truncate(added.size_before(seconds) - TORN)
        with server.running():
            report(f"without the last {seconds:g} s", added, *server.jobs())


def report(what: str, added: Added, waiting: set[str], stored: set[str]) -> None:
    lost, unknown = added.ids - waiting, waiting - added.ids
    print(
        f"  {what:<22} {len(lost):>7,} accepted and lost, {len(unknown):>4,} stored and not "
        f"answered, {len(waiting ^ stored)} half stored"
    )


if __name__ == "__main__":
    for each in POLICIES:
        asyncio.run(measure(each))
