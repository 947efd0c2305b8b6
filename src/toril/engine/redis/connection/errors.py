"""Errors of Redis as ours, with the way out."""

from __future__ import annotations

import re

from hiredis import ReplyError

from toril.engine.contract.rules import jobs_are_active, no_such_queue
from toril.errors import (
    EngineError,
    StoreBusyError,
    StoreFullError,
    StoreReadOnlyError,
    StoreUnavailableError,
)
from toril.model.job import QueueRef

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
    "UNBLOCKED": (StoreUnavailableError, "{location}: the primary has become a replica"),
    "MOVED": (StoreUnavailableError, "{location}: the keys are on another node of the cluster"),
    "ASK": (StoreUnavailableError, "{location}: the cluster is moving these keys"),
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


_ELSEWHERE = frozenset({"ASK", "MOVED", "UNBLOCKED"})


def is_elsewhere(error: EngineError) -> bool:
    """Return whether an error says that the queue has left the server, and nothing else."""
    cause = error.__cause__
    return isinstance(cause, ReplyError) and code_of(cause) in _ELSEWHERE


def is_forbidden(error: EngineError) -> bool:
    """Return whether an error says that the user may not do something."""
    cause = error.__cause__
    return isinstance(cause, ReplyError) and code_of(cause) == "NOPERM"


_WITHIN = re.compile(r"^ERR Error running script .*: -([A-Z]+) ")


def code_of(error: ReplyError) -> str:
    """Return the first word of what Redis answered.

    Before Redis 7 the answer of a command within a script stands at the end of a sentence.
    """
    text = str(error)
    within = _WITHIN.search(text)
    return within[1] if within else text.partition(" ")[0]


def translate_of(queue: QueueRef, error: ReplyError, location: str) -> Exception:
    """Return what a script answered about a queue as an error of ours.

    Args:
        queue: The queue.
        error: What Redis answered.
        location: The server, fit to be shown.
    """
    code, _, rest = str(error).partition(" ")
    if code == "NOQUEUE":
        return no_such_queue(queue)
    if code == "ACTIVE":
        return jobs_are_active(queue, rest)
    return translate(error, location)


def translate(error: ReplyError, location: str) -> EngineError:
    """Return an error of Redis as one of ours.

    Args:
        error: What Redis answered; its first word is a code.
        location: The server, fit to be shown.
    """
    text = str(error)
    code = code_of(error)
    if code == "ERR" and "OOM" in text:  # out of memory in the middle of a script
        code = "OOM"
    kind, message = _KINDS.get(code, (EngineError, "{location}: {error}"))
    return kind(message.format(location=location, error=text))
