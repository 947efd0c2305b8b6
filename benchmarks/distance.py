"""A network between the peers and Redis: a proxy on loopback that holds back the answers.

`python -m benchmarks.distance PORT MILLISECONDS` prints the port it listens on. All of the time
goes to the way back, as half a millisecond is less than a timer can tell.
"""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import cast

HOST = "127.0.0.1"
PIECE = 1 << 18
STOP_TIMEOUT = 5.0


@contextmanager
def distance(port: int, milliseconds: float) -> Iterator[int]:
    """Run a proxy in front of a port as long as the context lasts; gives its own port."""
    command = [sys.executable, "-m", "benchmarks.distance", str(port), str(milliseconds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline())
        finally:
            process.terminate()
            process.wait(STOP_TIMEOUT)


class _Way(asyncio.Protocol):
    """One end of a connection; what comes in goes out at the other end, later."""

    def __init__(self, delay: float) -> None:
        self.loop = asyncio.get_running_loop()
        self.delay = delay
        self.transport: asyncio.Transport | None = None
        self.other: _Way | None = None
        self.early: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self.delay:
            self.loop.call_later(self.delay, self.pass_on, data)
        else:
            self.pass_on(data)

    def pass_on(self, data: bytes) -> None:
        if self.other is None:
            self.early.append(data)
        elif self.other.transport is not None:
            self.other.transport.write(data)

    def connection_lost(self, _: Exception | None) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.close()


class _Near(_Way):
    """The end at which a peer came in."""

    def __init__(self, port: int, delay: float) -> None:
        super().__init__(0)
        self.port = port
        self.delay_back = delay
        self.task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.task = asyncio.create_task(self.reach())

    async def reach(self) -> None:
        """Connect to the server, and pass on what came meanwhile."""
        far = _Way(self.delay_back)
        far.other = self
        await self.loop.create_connection(lambda: far, HOST, self.port)
        self.other = far
        for data in self.early:
            self.pass_on(data)


async def _serve(port: int, milliseconds: float) -> None:
    loop = asyncio.get_running_loop()
    near = partial(_Near, port, milliseconds / 1000)
    server = await loop.create_server(near, HOST, 0)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), float(sys.argv[2])))  # uvloop's timers are coarse
