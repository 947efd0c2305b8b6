"""One connection: requests go out, and replies come back in the same order.

Any number of requests may be in flight. A request without a reply in time closes the connection,
because its late reply could not be told from the next one's. Nothing is sent twice here: it is
not known whether a request without a reply was carried out.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Self

import hiredis

from toril.engine.contract.rules import is_closed
from toril.engine.redis.connection.endpoint import Endpoint
from toril.engine.redis.connection.errors import translate
from toril.engine.redis.scripts.script import Script
from toril.errors import StoreBusyError, StoreUnavailableError

_NUMBER = re.compile(r"\d+")


class WireLostError(StoreBusyError):
    """The connection ended before the reply arrived."""


class Wire(asyncio.Protocol):
    """A connection to a server. `Wire.open` makes one.

    Attributes:
        address: The server's address.
        timeout: How long a reply may take, in seconds; None means no limit.
        version: The server's version.
        why: Why the connection ended, once it has.
    """

    def __init__(self, endpoint: Endpoint, timeout: float | None) -> None:
        """Prepare.

        Args:
            endpoint: The server.
            timeout: How long a reply may take, in seconds; None means no limit.
        """
        self._location = endpoint.location
        self.address = endpoint.address
        self.timeout = timeout
        self._loop = asyncio.get_running_loop()
        self._reader = hiredis.Reader(encoding="utf-8", errors="surrogateescape")
        self._waiting: deque[tuple[asyncio.Future[Any], float]] = deque()
        self._transport: asyncio.Transport | None = None
        self._watchdog: asyncio.TimerHandle | None = None
        self.why = "the connection was closed"
        self._closing = False
        self._retired = False
        self.version: tuple[int, ...] = ()
        self._gone = self._loop.create_future()

    @classmethod
    async def open(
        cls, endpoint: Endpoint, *, name: str = "toril", timeout: float | None = None
    ) -> Self:
        """Connect and log in.

        Args:
            endpoint: The server.
            name: The connection's name, which `CLIENT LIST` shows, with underscores for
                spaces and letters that Redis does not allow there.
            timeout: How long a reply may take, in seconds; None means no limit.

        Raises:
            EngineError: The server cannot be reached, or refuses the login.
        """
        wire = cls(endpoint, endpoint.connect_timeout)
        try:
            async with asyncio.timeout(endpoint.connect_timeout):
                await wire._connect(endpoint)
                await wire._log_in(endpoint, name)
        except asyncio.CancelledError:
            await wire.close()
            raise
        except hiredis.ReplyError as error:
            await wire.close()
            raise translate(error, endpoint.location) from error
        except (OSError, TimeoutError, RuntimeError) as error:  # the last: no thread for the name
            await wire.close()
            reason = str(error) or f"no answer within {endpoint.connect_timeout:g} s"
            message = f"{endpoint.location} cannot be reached: {reason}"
            raise StoreUnavailableError(message) from error
        wire.timeout = timeout
        return wire

    async def _connect(self, endpoint: Endpoint) -> None:
        tls = endpoint.tls_context()
        if endpoint.path:
            await self._loop.create_unix_connection(lambda: self, endpoint.path)
        else:
            await self._loop.create_connection(lambda: self, endpoint.host, endpoint.port, ssl=tls)

    async def _log_in(self, endpoint: Endpoint, name: str) -> None:
        login: Sequence[Any] = ()
        if endpoint.password is not None:
            login = ("AUTH", endpoint.user or "default", endpoint.password)
        requests = [self.send("HELLO", 2, *login, "SETNAME", name)]
        if endpoint.database:
            requests.append(self.send("SELECT", endpoint.database))
        # Awaited together: if both fail, or neither is answered, asyncio would complain about the
        # one that nobody asks.
        fields, *_ = await asyncio.gather(*requests)
        version = dict(zip(fields[::2], fields[1::2], strict=True)).get("version", "")
        self.version = tuple(int(part) for part in _NUMBER.findall(version))

    # Called by the event loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        try:
            while (reply := self._reader.gets()) is not False:
                future, _ = self._waiting.popleft()
                if future.done():  # its caller was cancelled
                    continue
                if isinstance(reply, hiredis.ReplyError):
                    future.set_exception(reply)
                else:
                    future.set_result(reply)
        except (hiredis.ProtocolError, IndexError) as error:
            self.abort(f"the server does not speak the Redis protocol: {error}")
        if self._retired and not self._waiting:
            self.abort(self.why)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if exc is not None:
            self.why = str(exc)
        if self._watchdog is not None:
            self._watchdog.cancel()
        waiting, self._waiting = self._waiting, deque()
        for future, _ in waiting:
            if future.done():
                continue
            if self._closing:
                future.set_exception(is_closed(self._location))
            else:
                lost = f"{self._location}: {self.why}, before the reply came"
                future.set_exception(WireLostError(lost))
        if not self._gone.done():
            self._gone.set_result(None)

    # Called by the engine

    @property
    def is_open(self) -> bool:
        """Whether requests can be sent."""
        return self._transport is not None and not self._transport.is_closing()

    @property
    def is_gone(self) -> bool:
        """Whether the connection is closed."""
        return self._transport is None

    def send(self, *request: Any) -> asyncio.Future[Any]:
        """Send a request; return a future of its reply.

        Args:
            *request: The command and its arguments: text, bytes, and numbers.

        Returns:
            The reply. The future fails with `hiredis.ReplyError` or an `EngineError`, such as
            `WireLostError`.
        """
        future = self._loop.create_future()
        if self._closing:
            future.set_exception(is_closed(self._location))
            return future
        if self._transport is None or self._transport.is_closing():
            future.set_exception(StoreUnavailableError(f"{self._location}: {self.why}"))
            return future
        self._waiting.append((future, self._loop.time()))
        self._transport.write(_packed(request))
        if self._watchdog is None and self.timeout is not None:
            self._watchdog = self._loop.call_later(self.timeout, self._watch)
        return future

    async def call(self, *request: Any) -> Any:
        """Send a request and return its reply.

        Raises:
            EngineError: Redis refused it, or no reply came.
        """
        try:
            return await self.send(*request)
        except hiredis.ReplyError as error:
            raise translate(error, self._location) from error

    async def evaluate(self, script: Script, keys: Sequence[str], *args: Any) -> Any:
        """Run a script by its hash, or by its text if the server does not have it.

        Args:
            script: The script.
            keys: The script's KEYS.
            *args: The script's ARGV.

        Raises:
            hiredis.ReplyError: The server refused the call.
            WireLostError: It is not known whether the script ran.
        """
        text, sha = script.text_for(self.version)
        try:
            return await self.send("EVALSHA", sha, len(keys), *keys, *args)
        except hiredis.ReplyError as error:
            if not str(error).startswith("NOSCRIPT"):
                raise
        # The server restarted or its scripts were flushed, so nothing has run.
        return await self.send("EVAL", text, len(keys), *keys, *args)

    def abort(self, why: str) -> None:
        """Close now; requests without a reply fail.

        Args:
            why: The reason, for error messages.
        """
        self.why = why
        if self._transport is not None:
            self._transport.abort()

    def retire(self, why: str) -> None:
        """Close after the requests in flight have been answered.

        Args:
            why: The reason, for error messages.
        """
        self.why = why
        self._retired = True
        if not self._waiting:
            self.abort(why)

    async def close(self) -> None:
        """Close, and wait until the connection is closed."""
        self._closing = True
        if self._transport is not None:
            self._transport.abort()
            with suppress(asyncio.CancelledError):
                await self._gone

    def _watch(self) -> None:
        """Close the connection if the oldest request has waited too long."""
        self._watchdog = None
        if self.timeout is None or not self._waiting:
            return
        waited = self._loop.time() - self._waiting[0][1]
        if waited >= self.timeout:
            self.abort(f"no reply within {self.timeout:g} s")
        else:
            self._watchdog = self._loop.call_later(self.timeout - waited, self._watch)


def _packed(request: tuple[Any, ...]) -> bytes:
    try:
        packed: bytes = hiredis.pack_command(request)
    except UnicodeEncodeError:  # it names something that is not UTF-8, as the reply before did
        packed = hiredis.pack_command(tuple(map(_as_bytes, request)))
    return packed


def _as_bytes(value: Any) -> Any:
    return value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value
