"""A TCP proxy that does to a connection what a bad network does."""

from __future__ import annotations

import asyncio
import random


class _Link:
    """A connection from a client through to the server.

    Attributes:
        mute: What the server says goes nowhere, and nobody is told.
    """

    def __init__(self, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self.client = client
        self.server = server
        self.mute = False

    def cut(self) -> None:
        self.client.transport.abort()
        self.server.transport.abort()


class Proxy:
    """Stands between a client and a server.

    Attributes:
        port: Where clients connect.
        hold: What the client says goes nowhere, and nobody is told.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._server: asyncio.Server | None = None
        self._links: set[_Link] = set()
        self._losing: bytes | None = None
        self._times = 0
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
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        link = _Link(writer, back)
        self._links.add(link)
        try:
            await asyncio.gather(self._ask(reader, link), self._answer(there, link))
        except asyncio.CancelledError:
            link.cut()
        finally:
            self._links.discard(link)

    async def _ask(self, reader: asyncio.StreamReader, link: _Link) -> None:
        try:
            while data := await reader.read(1 << 16):
                if self._times and self._losing is not None and self._losing in data:
                    self._times -= 1
                    link.mute = True
                if not self.hold:
                    link.server.write(data)
                    await link.server.drain()
        except OSError:
            pass
        finally:
            link.server.close()

    async def _answer(self, reader: asyncio.StreamReader, link: _Link) -> None:
        try:
            while data := await reader.read(1 << 16):
                if not link.mute:
                    link.client.write(data)
                    await link.client.drain()
        except OSError:
            pass
        finally:
            link.client.close()

    def shut_the_door(self) -> None:
        """Let nobody connect any more; connections that are there stay."""
        assert self._server is not None
        self._server.close()

    def mute_one(self, chance: random.Random) -> bool:
        """Let what the server says on some connection go nowhere from now on.

        Returns:
            Whether there was one that was not mute.
        """
        speaking = [link for link in self._links if not link.mute]
        if speaking:
            chance.choice(speaking).mute = True
        return bool(speaking)

    def cut_one(self, chance: random.Random) -> bool:
        """End some connection as a reset does; return whether there was one."""
        links = list(self._links)
        if links:
            chance.choice(links).cut()
        return bool(links)

    def cut(self) -> None:
        """End all connections as a reset does."""
        for link in list(self._links):
            link.cut()

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            self.cut()
            await self._server.wait_closed()
