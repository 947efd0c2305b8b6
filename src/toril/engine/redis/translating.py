"""Errors of Redis as ours, with the way out."""

from __future__ import annotations

from hiredis import ReplyError

from toril.errors import (
    EngineError,
    StoreBusyError,
    StoreFullError,
    StoreReadOnlyError,
    StoreUnavailableError,
)

_KINDS: dict[str, tuple[type[EngineError], str]] = {
    "OOM": (
        StoreFullError,
        "{location}: Redis has no memory left (maxmemory); make room. Nothing was written",
    ),
    "READONLY": (
        StoreReadOnlyError,
        "{location}: this is a replica; name the primary, or use redis+sentinel://",
    ),
    "LOADING": (StoreUnavailableError, "{location}: Redis is still loading its data"),
    "MASTERDOWN": (StoreUnavailableError, "{location}: the replica has lost its primary"),
    "CLUSTERDOWN": (StoreUnavailableError, "{location}: the cluster is down: {error}"),
    "TRYAGAIN": (StoreUnavailableError, "{location}: the cluster is moving these keys"),
    "MISCONF": (
        StoreUnavailableError,
        "{location}: Redis refuses writes because it cannot save to its disk: {error}",
    ),
    "NOREPLICAS": (StoreUnavailableError, "{location}: too few replicas answer: {error}"),
    "BUSY": (StoreBusyError, "{location}: Redis is busy with a script of somebody's"),
    "NOAUTH": (StoreUnavailableError, "{location}: Redis wants a password; put it into the URL"),
    "WRONGPASS": (StoreUnavailableError, "{location}: Redis refuses the user name or password"),
    "NOPERM": (
        StoreUnavailableError,
        "{location}: the user may not do this; `toril doctor` tells what the ACL lacks: {error}",
    ),
}


def translate(error: ReplyError, location: str) -> EngineError:
    """Return an error of Redis as one of ours.

    Args:
        error: What Redis answered; its first word is a code.
        location: The server, fit to be shown.
    """
    text = str(error)
    code = text.partition(" ")[0]
    if code == "ERR" and "OOM" in text:  # out of memory in the middle of a script
        code = "OOM"
    kind, message = _KINDS.get(code, (EngineError, "{location}: {error}"))
    return kind(message.format(location=location, error=text))
