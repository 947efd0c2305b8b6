"""Translating Redis's errors into Toril's, with advice."""

from __future__ import annotations

import re

from hiredis import ReplyError

from toril.engine.contract.rules import jobs_are_active, no_such_queue
from toril.errors import (
    EngineError,
    StoreBusyError,
    StoreFullError,
    StoreReadOnlyError,
    StoreRejectedError,
    StoreUnavailableError,
)
from toril.model.job import QueueRef

_KINDS: dict[str, tuple[type[EngineError], str]] = {
    "OOM": (
        StoreFullError,
        "{location}: Redis has no memory left; free some or raise maxmemory. Nothing was written",
    ),
    "READONLY": (
        StoreReadOnlyError,
        "{location}: this is a replica; use the primary's address, or redis+sentinel://",
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
        "{location}: Redis refuses writes because it cannot save to disk: {error}",
    ),
    "NOREPLICAS": (StoreUnavailableError, "{location}: too few replicas respond: {error}"),
    "BUSY": (StoreBusyError, "{location}: Redis is busy running a script"),
    "NOAUTH": (
        StoreUnavailableError,
        "{location}: Redis requires a password; add it to the URL: redis://:password@host",
    ),
    "WRONGPASS": (
        StoreUnavailableError,
        "{location}: Redis refuses the user name or password; percent-encode special characters",
    ),
    "NOPERM": (
        StoreUnavailableError,
        "{location}: the user may not do this; `toril doctor` shows what the ACL lacks: {error}",
    ),
    "WRONGTYPE": (
        StoreRejectedError,
        "{location}: another program put something else at a key of the queue: {error}",
    ),
}
_IN_SCRIPT = "user_script"  # in every error that a script raised itself


_ELSEWHERE = frozenset({"ASK", "MOVED", "UNBLOCKED"})


def is_elsewhere(error: EngineError) -> bool:
    """Return whether an error only means that the queue is no longer on this server."""
    cause = error.__cause__
    return isinstance(cause, ReplyError) and code_of(cause) in _ELSEWHERE


def is_forbidden(error: EngineError) -> bool:
    """Return whether an error means that the user lacks a permission."""
    cause = error.__cause__
    return isinstance(cause, ReplyError) and code_of(cause) == "NOPERM"


_WITHIN = re.compile(r"^ERR Error running script .*: -([A-Z]+) ")


def code_of(error: ReplyError) -> str:
    """Return the error code, which is the first word of Redis's answer.

    Before Redis 7, the error of a command within a script is quoted at the end of a sentence.
    """
    text = str(error)
    within = _WITHIN.search(text)
    return within[1] if within else text.partition(" ")[0]


def translate_of(queue: QueueRef, error: ReplyError, location: str) -> Exception:
    """Translate the error that a script returned for a queue.

    Args:
        queue: The queue.
        error: Redis's answer.
        location: The server's URL without a password.
    """
    code, _, rest = str(error).partition(" ")
    if code == "NOQUEUE":
        return no_such_queue(queue)
    if code == "ACTIVE":
        return jobs_are_active(queue, rest)
    return translate(error, location)


def translate(error: ReplyError, location: str) -> EngineError:
    """Translate an error of Redis.

    Args:
        error: Redis's answer; its first word is a code.
        location: The server's URL without a password.
    """
    text = str(error)
    code = code_of(error)
    if code == "ERR" and "OOM" in text:  # out of memory in the middle of a script
        code = "OOM"
    unknown = StoreRejectedError if _IN_SCRIPT in text else EngineError
    kind, message = _KINDS.get(code, (unknown, "{location}: {error}"))
    return kind(message.format(location=location, error=text))
