"""Every error Toril raises on purpose.

    TorilError
    ├── ConfigurationError        settings, URLs, registrations
    ├── ValidationError           input that is refused; also a ValueError
    ├── NotFoundError             a queue or job that is not there; also a LookupError
    ├── ConflictError             the job's or queue's state does not allow it
    ├── UnsupportedError          the engine declares that it cannot do this
    ├── EngineError               the store
    │   ├── StoreUnavailableError     cannot be opened or reached
    │   ├── StoreBusyError            did not answer in time; also a TimeoutError
    │   ├── StoreFullError            no room left; nothing was written
    │   ├── StoreReadOnlyError        may not be written
    │   ├── StoreCorruptError         damaged, or not a Toril store at all
    │   └── StoreVersionError         written by a newer Toril
    ├── PayloadLostError          a large payload is not in its store, or damaged
    └── JobError                  what became of a job whose result was awaited
        ├── JobFailedError
        ├── JobCancelledError
        ├── JobRemovedError
        └── ResultTimeoutError    also a TimeoutError

Errors of drivers are translated at the engine's border and chained as the cause.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class TorilError(Exception):
    """The root of the tree above."""


class ConfigurationError(TorilError):
    """A setting, a URL or a registration is wrong."""


class ValidationError(TorilError, ValueError):
    """Input that is refused before anything was stored.

    Attributes:
        field: The name of the offending field, as the caller wrote it.
        message: What is wrong with it, and what would be right.
    """

    def __init__(self, field: str, message: str) -> None:
        """Keep the field's name apart, so that an API can point at it.

        Args:
            field: The offending field.
            message: What is wrong with it, and what would be right.
        """
        super().__init__(field, message)
        self.field = field
        self.message = message

    def __str__(self) -> str:
        return f"{self.field}: {self.message}"


class NotFoundError(TorilError, LookupError):
    """A queue or a job that is not there."""


class ConflictError(TorilError):
    """The state of the job or queue does not allow the operation."""


class UnsupportedError(TorilError):
    """The engine declares in its capabilities that it cannot do this."""


class EngineError(TorilError):
    """The store failed."""


class StoreUnavailableError(EngineError):
    """The store cannot be opened or reached."""


class StoreBusyError(EngineError, TimeoutError):
    """The store did not answer in time. Whether it did the work is not known."""


class StoreFullError(EngineError):
    """The store has no room left. The call wrote nothing."""


class StoreReadOnlyError(EngineError):
    """The store may not be written."""


class StoreCorruptError(EngineError):
    """The store is damaged, or is not a Toril store at all."""


class StoreVersionError(EngineError):
    """The store was written by a newer version of Toril."""


class PayloadLostError(TorilError):
    """The payload on which a job carries a claim is not in its store any more, or damaged."""


class JobError(TorilError):
    """What became of a job whose result was awaited.

    Attributes:
        job_id: The job.
        message: What became of it.
    """

    def __init__(self, job_id: str, message: str) -> None:
        """Keep the job's id apart from the message.

        Args:
            job_id: The job.
            message: What became of it.
        """
        super().__init__(job_id, message)
        self.job_id = job_id
        self.message = message

    def __str__(self) -> str:
        return self.message


class JobFailedError(JobError):
    """The job used up its attempts, or failed in a way that forbids another.

    Attributes:
        error_type: The class name of the handler's last exception.
        reason: Its message.
    """

    def __init__(self, job_id: str, error_type: str, reason: str) -> None:
        """Say which error ended the job.

        Args:
            job_id: The job.
            error_type: The class name of the handler's last exception.
            reason: Its message.
        """
        super().__init__(job_id, f"job {job_id} failed: {error_type}: {reason}")
        self.args = (job_id, error_type, reason)
        self.error_type = error_type
        self.reason = reason


class JobCancelledError(JobError):
    """The job was cancelled, before it ran or while it ran."""


class JobRemovedError(JobError):
    """The job was removed, and its result with it."""


class ResultTimeoutError(JobError, TimeoutError):
    """The job did not finish within the time that the caller would wait."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return a sentence that helps with a misspelt name.

    Args:
        word: What was written.
        known: What could have been meant.

    Returns:
        `did you mean 'x'?` where one is near, else the whole list.
    """
    names = sorted(known)
    near = get_close_matches(word, names, n=1, cutoff=0.6)
    if near:
        return f"did you mean {near[0]!r}?"
    return f"known: {', '.join(names)}" if names else "there are none yet"
