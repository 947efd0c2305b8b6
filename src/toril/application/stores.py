"""From a URL to the engine that keeps the jobs there."""

from __future__ import annotations

import re
from urllib.parse import SplitResult, unquote, urlsplit

from toril.engine.contract.engine import Engine
from toril.engine.redis import RedisEngine
from toril.engine.redis.connection.target import parse
from toril.engine.sqlite import SqliteEngine
from toril.errors import ConfigurationError

_PASSWORD = re.compile(r"(?<=://)([^/@:]*:).+(?=@)|(\bsentinel_password=)[^&]*")
_REDIS = {"redis", "rediss", "unix"} | {
    f"{scheme}+{kind}" for scheme in ("redis", "rediss") for kind in ("sentinel", "cluster")
}


def open_engine(url: str, *, create: bool = True) -> Engine:
    """Return the engine that a URL names; it connects when it is first used.

    Args:
        url: "sqlite:///file.db" (relative), "sqlite:////folder/file.db" (absolute),
            "memory://", or a Redis server: "redis://host:port/database",
            "unix:///path/to/socket"; with several hosts "redis+sentinel://host:port/service"
            and "redis+cluster://host:port". rediss stands for TLS.
        create: Make a file that is not there when it is first used.

    Raises:
        ConfigurationError: There is no such engine, or the URL names no file.
    """
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise ConfigurationError(f"{_without_password(url)!r} is no URL: {error}") from None
    if parts.scheme == "memory" and url == "memory://":
        return SqliteEngine(None)
    if parts.scheme == "sqlite":
        return SqliteEngine(_file_of(url, parts), create=create)
    if parts.scheme in _REDIS:
        return RedisEngine(parse(url))
    raise ConfigurationError(
        f"{_without_password(url)!r}: there is no such engine; this version has "
        "sqlite:///file.db, memory://, redis://host:port/0, unix:///socket, "
        "redis+sentinel://host:port,host:port/service and redis+cluster://host:port,host:port; "
        "rediss for TLS"
    )


def _file_of(url: str, parts: SplitResult) -> str:
    """Return the path in a sqlite URL."""
    path = unquote(parts.path).removeprefix("/")
    if not url[len("sqlite") :].startswith(":///") or not path:
        raise ConfigurationError(
            f"{url!r} names no file; write sqlite:///toril.db, "
            "or with four slashes sqlite:////var/lib/toril.db"
        )
    if parts.query or parts.fragment:
        raise ConfigurationError(
            f"{url!r}: a sqlite URL has no parameters; in a name write %3F for ?, %23 for #"
        )
    if path == ":memory:":
        raise ConfigurationError(f"{url!r}: write memory:// to keep jobs in memory")
    return path


def _without_password(url: str) -> str:
    return _PASSWORD.sub(lambda found: f"{found[1] or found[2]}***", url)
