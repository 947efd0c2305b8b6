"""All errors that Toril raises.

    TorilError
    ├── ConfigurationError        an invalid setting, URL or registration
    ├── ValidationError           invalid input; also a ValueError
    ├── NotFoundError             a queue or job does not exist; also a LookupError
    ├── ConflictError             the state of the job or queue does not allow the operation
    ├── UnsupportedError          the engine does not support the operation
    ├── EngineError               the store failed
    │   ├── StoreUnavailableError     it cannot be opened or reached
    │   ├── StoreBusyError            it did not answer in time; also a TimeoutError
    │   ├── StoreFullError            it has no room left; nothing was written
    │   ├── StoreReadOnlyError        it is not writable
    │   ├── StoreRejectedError        it cannot do this with what it holds; do not repeat it
    │   ├── PartlyAddedError          a call in chunks failed after some jobs were added
    │   ├── StoreCorruptError         it is damaged, or not a Toril store
    │   └── StoreVersionError         it was written by a newer Toril
    ├── PayloadLostError          a large payload is missing from its store, or damaged
    └── JobError                  an awaited job produced no result
        ├── JobFailedError
        ├── JobCancelledError
        ├── JobRemovedError
        └── ResultTimeoutError    also a TimeoutError

Engines translate driver errors and chain the original as the cause.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any


_MAX_MESSAGE = 2_000  # characters of a validation error
_MAX_WORD = 200  # characters of a word that may be a misspelt name


class TorilError(Exception):
    """The base class of all Toril errors."""


class ConfigurationError(TorilError):
    """A setting, URL or registration is invalid."""


class ValidationError(TorilError, ValueError):
    """The input is invalid. Nothing was stored.

    Attributes:
        field: The invalid field's name, as the caller wrote it.
        message: What is wrong with the field, and how to fix it.
    """

    def __init__(self, field: str, message: str) -> None:
        """Store the field's name separately, so that an API can report it.

        Args:
            field: The invalid field's name.
            message: What is wrong with the field, and how to fix it.
        """
        if len(message) > _MAX_MESSAGE:  # it quotes a long value, before or after the fix
            message = f"{message[: _MAX_MESSAGE // 2]} … {message[-_MAX_MESSAGE // 2 :]}"
        super().__init__(field, message)
        self.field = field
        self.message = message

    def __str__(self) -> str:
        return f"{self.field}: {self.message}"


class NotFoundError(TorilError, LookupError):
    """The queue or job does not exist."""


class ConflictError(TorilError):
    """The state of the job or queue does not allow the operation."""


class UnsupportedError(TorilError):
    """The engine does not support the operation; see its capabilities."""


class EngineError(TorilError):
    """The store failed."""


class StoreUnavailableError(EngineError):
    """The store cannot be opened or reached."""


class StoreBusyError(EngineError, TimeoutError):
    """The store did not answer in time. It may or may not have carried out the call."""


class StoreFullError(EngineError):
    """The store has no room left. The call wrote nothing."""


class StoreReadOnlyError(EngineError):
    """The store is not writable."""


class StoreRejectedError(EngineError):
    """The store cannot carry out this call with what it holds. Repeating the call does not help."""


class PartlyAddedError(EngineError):
    """A call in chunks failed after some of its jobs were added. The cause tells why.

    Attributes:
        handles: Handles on the jobs that were added, in order.
    """

    def __init__(self, handles: Sequence[Any], total: int, why: str) -> None:
        """Build the message.

        Args:
            handles: Handles on the jobs that were added, in order.
            total: How many jobs there were.
            why: Why the call failed.
        """
        super().__init__(
            f"{len(handles):,} of {total:,} jobs were added; the next {total - len(handles):,} "
            f"were not, or it is not known: {why}"
        )
        self.handles = handles


class StoreCorruptError(EngineError):
    """The store is damaged, or is not a Toril store."""


class StoreVersionError(EngineError):
    """The store was written by a newer version of Toril."""


class PayloadLostError(TorilError):
    """The payload that a job's claim refers to is missing from the payload store, or damaged."""


class JobError(TorilError):
    """A job whose result was awaited did not produce one.

    Attributes:
        job_id: The job's id.
        message: What happened to the job.
    """

    def __init__(self, job_id: str, message: str) -> None:
        """Store the job's id separately from the message.

        Args:
            job_id: The job's id.
            message: What happened to the job.
        """
        super().__init__(job_id, message)
        self.job_id = job_id
        self.message = message

    def __str__(self) -> str:
        return self.message


class JobFailedError(JobError):
    """The job used up its attempts, or failed in a way that rules out another attempt.

    Attributes:
        error_type: The class name of the handler's last exception.
        reason: That exception's message.
    """

    def __init__(self, job_id: str, error_type: str, reason: str) -> None:
        """Build the message from the error that ended the job.

        Args:
            job_id: The job's id.
            error_type: The class name of the handler's last exception.
            reason: That exception's message.
        """
        super().__init__(job_id, f"job {job_id} failed: {error_type}: {reason}")
        self.args = (job_id, error_type, reason)
        self.error_type = error_type
        self.reason = reason


class JobCancelledError(JobError):
    """The job was cancelled, before or while it ran."""


class JobRemovedError(JobError):
    """The job was removed together with its result."""


class ResultTimeoutError(JobError, TimeoutError):
    """The job did not finish before the caller's timeout."""


ENCODE_LOGIN = (
    "if its user name or password contains one of / ? # @ : % [ ], percent-encode it: "
    "urllib.parse.quote(password, safe='')"
)
"""What to check in a URL that cannot be read. Errors quote no part of a URL: where a password is
not encoded, any part may belong to it."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return a hint for a misspelt name, to append to an error message.

    Args:
        word: What the caller wrote.
        known: The valid names.

    Returns:
        `did you mean 'x'?` if a valid name is similar, else the list of valid names.
    """
    names = sorted(known)
    near = get_close_matches(word, names, n=1, cutoff=0.6) if len(word) <= _MAX_WORD else []
    if near:
        return f"did you mean {near[0]!r}?"
    return f"known: {', '.join(names)}" if names else "there are none yet"
