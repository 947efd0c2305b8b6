"""Where a Redis server is, from a URL."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

import msgspec

from toril.errors import ConfigurationError, did_you_mean

_PORT = 6379
PARAMETERS = ("ca", "cert", "key", "timeout", "connect_timeout")
"""What every URL of a Redis server may have behind its question mark."""


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """A server, and how to get in.

    Attributes:
        host: Its name or address; empty where it is reached through a file.
        port: Its port.
        path: The Unix socket's file.
        database: The number of the database.
        user: Who connects; None is the default user.
        password: The password.
        tls: Talk TLS, and check the server's certificate.
        ca: A file of certificates to check against; the system's unless given.
        cert: A file with our own certificate, where the server wants one.
        key: A file with its key.
        connect_timeout: How long connecting may take, in seconds.
        timeout: How long one call may take, in seconds.
    """

    host: str = "localhost"
    port: int = _PORT
    path: str = ""
    database: int = 0
    user: str | None = None
    password: str | None = None
    tls: bool = False
    ca: str | None = None
    cert: str | None = None
    key: str | None = None
    connect_timeout: float = 1.0
    timeout: float = 2.0

    @property
    def location(self) -> str:
        """The URL without the password."""
        user = f"{self.user}@" if self.user else ""
        if self.path:
            return f"unix://{user}{self.path}?db={self.database}"
        return f"redis{'s' if self.tls else ''}://{user}{self.address}/{self.database}"

    @property
    def address(self) -> str:
        """The host and the port, or the Unix socket's file."""
        if self.path:
            return self.path
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    def at(self, host: str, port: int) -> Endpoint:
        """Return another server that takes the same login.

        Args:
            host: Its name or address.
            port: Its port.
        """
        return msgspec.structs.replace(self, host=host, port=port)

    def tls_context(self) -> ssl.SSLContext | None:
        """Return how to talk TLS; None where it is not wanted.

        Raises:
            ConfigurationError: A certificate cannot be read.
        """
        if not self.tls:
            return None
        try:
            context = ssl.create_default_context(cafile=self.ca)
            if self.cert is not None:
                context.load_cert_chain(self.cert, self.key)
        except OSError as error:
            raise ConfigurationError(f"{self.location}: a certificate: {error}") from None
        return context


def parse(url: str) -> Endpoint:
    """Return the endpoint that a URL names.

    Args:
        url: "redis://[user:password@]host:port/database", "rediss://…" for TLS, or
            "unix://[user:password@]/path?db=0". Parameters: `ca`, `cert`, `key` (files),
            `timeout` and `connect_timeout` (seconds).

    Raises:
        ConfigurationError: It is none of these.
    """
    parts = urlsplit(url)
    given = dict(parse_qsl(parts.query, keep_blank_values=True))
    number = given.pop("db", None) if parts.scheme == "unix" else parts.path.strip("/")
    values = {"database": database(number), **login(parts), **parameters(given)}
    if parts.scheme == "unix":
        if not parts.path:
            raise ConfigurationError("the URL names no socket; write unix:///run/redis.sock")
        return Endpoint(path=unquote(parts.path), **values)
    host, port = host_and_port(parts.netloc.rpartition("@")[2], _PORT)
    return Endpoint(host=host, port=port, tls=parts.scheme == "rediss", **values)


def login(parts: SplitResult) -> dict[str, Any]:
    """Return who connects."""
    return {
        "user": unquote(parts.username) if parts.username else None,
        "password": unquote(parts.password) if parts.password else None,
    }


def parameters(given: dict[str, str], also: Sequence[str] = ()) -> dict[str, Any]:
    """Return what stands behind a URL's question mark.

    Args:
        given: Names and values.
        also: Names that this kind of URL knows beside `PARAMETERS`.

    Raises:
        ConfigurationError: A name is unknown, or a value cannot be.
    """
    known = (*PARAMETERS, *also)
    for name in given:
        if name not in known:
            raise ConfigurationError(f"{name!r} in the URL is unknown; {did_you_mean(name, known)}")
    return {
        name: _seconds(name, text) if name.endswith("timeout") else text
        for name, text in given.items()
    }


def host_and_port(text: str, port: int) -> tuple[str, int]:
    """Return a host and its port.

    Args:
        text: "host:port", or one of them, or nothing.
        port: The port unless given.

    Raises:
        ConfigurationError: The port is none.
    """
    parts = urlsplit(f"//{text}")
    try:
        return parts.hostname or "localhost", parts.port or port
    except ValueError as error:
        raise ConfigurationError(f"the URL's port: {error}") from None


def database(text: str | None) -> int:
    """Return the number of a database.

    Raises:
        ConfigurationError: It is none.
    """
    if not text:
        return 0
    if not text.isdecimal():
        raise ConfigurationError(f"{text!r} in the URL is no database's number; write …:6379/0")
    return int(text)


def _seconds(name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise ConfigurationError(f"{name} in the URL is {text!r}; give a number of seconds")
    return value
