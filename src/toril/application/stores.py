"""Finds the engine for a store's URL."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

from toril.engine.contract.engine import Engine
from toril.engine.redis import RedisEngine
from toril.engine.redis.connection.target import parse
from toril.engine.sqlite import SqliteEngine
from toril.errors import ConfigurationError

_REDIS = {"redis", "rediss", "unix"} | {
    f"{scheme}+{kind}" for scheme in ("redis", "rediss") for kind in ("sentinel", "cluster")
}


def open_engine(url: str, *, create: bool = True) -> Engine:
    """Return the engine that a URL names. It connects on first use.

    Args:
        url: "sqlite:///file.db" (relative), "sqlite:////folder/file.db" (absolute),
            "memory://", or a Redis server: "redis://host:port/database",
            "unix:///path/to/socket", "redis+sentinel://host:port/service" or
            "redis+cluster://host:port"; the last two take several hosts, separated by commas.
            Use rediss for TLS.
        create: Create the file on first use if it does not exist.

    Raises:
        ConfigurationError: The URL does not name an engine, or not a file.
    """
    scheme = url.partition("://")[0].strip().lower()
    if url == "memory://":
        return SqliteEngine(None)
    if scheme == "sqlite":
        return SqliteEngine(_file_of(url), create=create)
    if scheme in _REDIS:
        return RedisEngine(parse(url))
    # Errors quote no part of a URL, because any part may belong to a password.
    raise ConfigurationError(
        "the URL does not name an engine; use "
        "sqlite:///file.db, memory://, redis://host:port/0, unix:///socket, "
        "redis+sentinel://host:port,host:port/service or redis+cluster://host:port,host:port; "
        "rediss for TLS"
    )


def _file_of(url: str) -> str:
    """Return the path in a sqlite URL."""
    if not url[len("sqlite") :].startswith(":///"):
        raise ConfigurationError(
            "the URL does not name a file; use sqlite:///toril.db, "
            "or four slashes for an absolute path: sqlite:////var/lib/toril.db"
        )
    parts = urlsplit(url)
    path = unquote(parts.path).removeprefix("/")
    if not path:
        raise ConfigurationError(f"{url!r} does not name a file; use sqlite:///toril.db")
    if parts.query or parts.fragment:
        raise ConfigurationError(
            f"{url!r}: a sqlite URL has no parameters; in a file name, write %3F for ? and %23 "
            "for #"
        )
    if path == ":memory:":
        raise ConfigurationError(f"{url!r}: use memory:// to store jobs in memory")
    return path
