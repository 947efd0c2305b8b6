"""A TCP proxy that does to a connection what a bad network does."""

from __future__ import annotations

import asyncio


class Proxy:
    """Stands between a client and a server.

    Attributes:
        port: Where clients connect.
        hold: What the client says goes nowhere, and nobody is told.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._losing: bytes | None = None
        self._swallowing: set[asyncio.StreamWriter] = set()
        self.port = 0
        self.hold = False

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0?timeout=0.5"

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    def lose_replies_to(self, word: bytes, *, times: int) -> None:
        """Let the replies to requests that have a word in them go nowhere.

        The connection is of no use after each: its client gives it up.
        """
        self._losing, self._times = word, times

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._target)
        self._writers |= {writer, back}
        await asyncio.gather(
            self._pump(reader, back, client=writer), self._pump(there, writer, client=None)
        )

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        client: asyncio.StreamWriter | None,
    ) -> None:
        """Pass on what a client says, or what is said to one."""
        try:
            while data := await reader.read(1 << 16):
                if client is not None:
                    self._look(data, client)
                    passes = not self.hold
                else:
                    passes = writer not in self._swallowing
                if passes:
                    writer.write(data)
                    await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    def _look(self, data: bytes, client: asyncio.StreamWriter) -> None:
        self._swallowing.discard(client)
        if self._losing is not None and self._losing in data and self._times > 0:
            self._swallowing.add(client)
            self._times -= 1

    def cut(self) -> None:
        """End all connections as a reset does."""
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            self.cut()
            await self._server.wait_closed()
