"""A Redis server's address and login, from a URL."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

import msgspec

from toril.errors import ENCODE_LOGIN, ConfigurationError, did_you_mean

_PORT = 6379
PARAMETERS = ("ca", "cert", "key", "timeout", "connect_timeout")
"""The query parameters that every URL of a Redis server accepts."""


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """A server, and how to log in.

    Attributes:
        host: The server's name or address; not used with a Unix socket.
        port: The server's port.
        path: The path of the Unix socket; empty for TCP.
        database: The database's number.
        user: The user name; None is the default user.
        password: The password.
        tls: Whether to use TLS and check the server's certificate.
        ca: A file of CA certificates; by default the system's.
        cert: A file with the client certificate, if the server requires one.
        key: A file with the client certificate's key.
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

    def __repr__(self) -> str:
        return f"<Endpoint {self.location}>"

    @property
    def location(self) -> str:
        """The URL without the password."""
        user = f"{self.user}@" if self.user else ""
        if self.path:
            return f"unix://{user}{self.path}?db={self.database}"
        return f"redis{'s' if self.tls else ''}://{user}{self.address}/{self.database}"

    @property
    def address(self) -> str:
        """The host and port, or the path of the Unix socket."""
        if self.path:
            return self.path
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    def at(self, host: str, port: int) -> Endpoint:
        """Return another server with the same login.

        Args:
            host: Its name or address.
            port: Its port.
        """
        return msgspec.structs.replace(self, host=host, port=port)

    def tls_context(self) -> ssl.SSLContext | None:
        """Return the TLS context; None without TLS.

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
            raise ConfigurationError(
                f"{self.location}: cannot read a certificate: {error.strerror or error}"
            ) from None
        return context


def parse(url: str) -> Endpoint:
    """Return the endpoint that a URL names.

    Args:
        url: "redis://[user:password@]host:port/database", "rediss://…" for TLS, or
            "unix://[user:password@]/path?db=0". Parameters: `ca`, `cert`, `key` (files),
            `timeout` and `connect_timeout` (seconds).

    Raises:
        ConfigurationError: The URL is not valid.
    """
    parts = split(url)
    given = dict(parse_qsl(parts.query, keep_blank_values=True))
    number = given.pop("db", None) if parts.scheme == "unix" else parts.path.strip("/")
    values = {"database": database(number), **login(parts), **parameters(given)}
    host_part = parts.netloc.rpartition("@")[2]
    if parts.scheme == "unix":
        if not parts.path or host_part:
            raise ConfigurationError(
                "the URL has no socket path after its user and password; write "
                f"unix:///run/redis.sock or unix://:password@/run/redis.sock; {ENCODE_LOGIN}"
            )
        return Endpoint(path=unquote(parts.path), **values)
    host, port = host_and_port(host_part, _PORT)
    return Endpoint(host=host, port=port, tls=parts.scheme == "rediss", **values)


def split(url: str) -> SplitResult:
    """Return the parts of a URL.

    Raises:
        ConfigurationError: The text is not a URL, or has a fragment.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ConfigurationError(f"the URL cannot be read; {ENCODE_LOGIN}") from None
    if "#" in url:  # also an empty fragment, which the parts do not show
        raise ConfigurationError(f"the URL must not contain #; {ENCODE_LOGIN}")
    return parts


def login(parts: SplitResult) -> dict[str, Any]:
    """Return the user and password of a URL.

    Raises:
        ConfigurationError: There is only a user, which is most likely a password.
    """
    if parts.username and parts.password is None:
        raise ConfigurationError(
            "the URL has a user name without a password; for a password without a user name, "
            "write a colon before it: redis://:password@host:6379/0"
        )
    return {
        "user": unquote(parts.username) if parts.username else None,
        "password": unquote(parts.password) if parts.password else None,
    }


def parameters(given: dict[str, str], also: Sequence[str] = ()) -> dict[str, Any]:
    """Return a URL's query parameters.

    Args:
        given: Names and values.
        also: Names that this kind of URL accepts in addition to `PARAMETERS`.

    Raises:
        ConfigurationError: A name is unknown, or a value is not valid.
    """
    known = (*PARAMETERS, *also)
    for name in given:
        if name not in known:
            hint = did_you_mean(name, known)
            raise ConfigurationError(f"unknown parameter in the URL; {hint}; {ENCODE_LOGIN}")
    return {
        name: _seconds(name, text) if name.endswith("timeout") else text
        for name, text in given.items()
    }


def host_and_port(text: str, port: int) -> tuple[str, int]:
    """Return a host and its port.

    Args:
        text: "host:port", one of the two, or nothing.
        port: The default port.

    Raises:
        ConfigurationError: The port is not valid.
    """
    try:
        parts = urlsplit(f"//{text}")
        given = parts.port
    except ValueError:
        raise ConfigurationError(
            f"the URL's port must be a number from 1 to 65535; {ENCODE_LOGIN}"
        ) from None
    return parts.hostname or "localhost", given or port


def database(text: str | None) -> int:
    """Return the number of a database; 0 if none is given.

    Raises:
        ConfigurationError: The text is not a valid number.
    """
    if not text:
        return 0
    if not (text.isascii() and text.isdecimal()):
        raise ConfigurationError(
            f"the last part of the URL must be a database number: write …:6379/0; {ENCODE_LOGIN}"
        )
    return int(text)


def _seconds(name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise ConfigurationError(f"{name} in the URL must be a number of seconds > 0")
    return value
