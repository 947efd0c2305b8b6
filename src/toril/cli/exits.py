"""The exit codes of the command line, which scripts rely on."""

from __future__ import annotations

from enum import IntEnum

from click import ClickException

from toril.errors import (
    ConfigurationError,
    ConflictError,
    JobError,
    NotFoundError,
    PartlyAddedError,
    ResultTimeoutError,
    StoreBusyError,
    StoreReadOnlyError,
    StoreUnavailableError,
    UnsupportedError,
    ValidationError,
)


class Exit(IntEnum):
    """The exit codes."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    AUTH = 4
    CONFLICT = 5
    UNREACHABLE = 6
    PARTLY = 7
    TIMEOUT = 8
    INTERRUPTED = 130


MEANINGS = (
    "Exit codes: 0 success, 1 a check or the operation failed, 2 wrong usage, 3 not found, "
    "4 no permission, 5 conflict, 6 store cannot be reached, 7 partly done, 8 timeout, "
    "130 interrupted."
)

_CODES: tuple[tuple[type[Exception], Exit], ...] = (
    (ResultTimeoutError, Exit.TIMEOUT),
    (StoreBusyError, Exit.TIMEOUT),
    (StoreReadOnlyError, Exit.AUTH),
    (PartlyAddedError, Exit.PARTLY),
    (PermissionError, Exit.AUTH),
    (StoreUnavailableError, Exit.UNREACHABLE),
    (NotFoundError, Exit.NOT_FOUND),
    (ConflictError, Exit.CONFLICT),
    (ValidationError, Exit.USAGE),
    (ConfigurationError, Exit.USAGE),
    (UnsupportedError, Exit.USAGE),
    (ClickException, Exit.USAGE),
    (JobError, Exit.FAILED),
)


def code_of(error: Exception) -> Exit:
    """Return the exit code for an error."""
    for kind, code in _CODES:
        if isinstance(error, kind):
            return code
    return Exit.FAILED
