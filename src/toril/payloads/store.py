"""The payload store. A payload is found by the day it was written and the hash of its JSON.

Each folder holds the payloads written on one day. Old payloads are removed a folder at a time,
so removal never affects a payload that is being written.
"""

from __future__ import annotations

import errno
import re
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote

from toril.clock import Clock, SystemClock
from toril.errors import (
    ConfigurationError,
    EngineError,
    PayloadLostError,
    StoreFullError,
    StoreReadOnlyError,
    StoreUnavailableError,
)
from toril.model.checks import is_integer
from toril.model.claim import DAY, Claim, decode_claim, encode_claim
from toril.payloads.directory import Directory
from toril.payloads.remote import Remote

LEAST_THRESHOLD = 1 << 10
MOST_BYTES = 1 << 30  # a job is sent to a process in a message of at most 4 GiB

_DAY_MS = 86_400_000
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_REFUSED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


class Blobs(Protocol):
    """A place for a payload store's files. Paths use slashes. Calls may raise any exception."""

    location: str

    def describe(self, error: Exception, /) -> str:
        """Return an error that a call raised as text, without passwords."""
        ...

    def write(self, path: str, content: bytes, /) -> None:
        """Write a file durably: once this returns, the file survives a loss of power."""
        ...

    def read(self, path: str, most: int, /) -> bytes:
        """Return a file's first bytes; raise FileNotFoundError if it is lost for good."""
        ...

    def folders(self) -> list[str]:
        """Return the names of the top-level folders."""
        ...

    def remove(self, folder: str, /) -> int:
        """Remove a folder and its files; return how many files it contained."""
        ...


class PayloadStore:
    """Stores payloads. The methods block, so call them from a thread.

    Attributes:
        location: The store's URL without a password.
        threshold: The largest payload that stays in its job, in bytes.
        max_bytes: The largest payload that the store accepts, in bytes.
    """

    def __init__(
        self, blobs: Blobs, *, threshold: int, max_bytes: int, clock: Clock | None = None
    ) -> None:
        """Create a store; to create one from a URL, use `open_payload_store`.

        Args:
            blobs: Keeps the files.
            threshold: The largest payload that stays in its job, in bytes.
            max_bytes: The largest payload that the store accepts, in bytes.
            clock: Provides the current day; defaults to the system clock.

        Raises:
            ConfigurationError: A limit is invalid.
        """
        for name, value, least, most in (
            ("payload_threshold", threshold, LEAST_THRESHOLD, MOST_BYTES),
            ("payload_max_bytes", max_bytes, LEAST_THRESHOLD, MOST_BYTES),
        ):
            if not is_integer(value) or not least <= value <= most:
                raise ConfigurationError(
                    f"{name} must be an integer from {least:,} to {most:,} bytes, not {value!r}"
                )
        self.location = blobs.location
        self.threshold = threshold
        self.max_bytes = max_bytes
        self._blobs = blobs
        self._clock = clock or SystemClock()

    def put(self, text: str) -> str:
        """Store a payload.

        Args:
            text: The payload's JSON.

        Returns:
            The JSON data for the job: a claim.

        Raises:
            EngineError: The payload could not be stored.
        """
        content = text.encode()
        today = datetime.fromtimestamp(self._clock.wall_ms() / 1000, UTC).date().isoformat()
        claim = Claim(today, sha256(content).hexdigest(), len(content))
        try:
            self._blobs.write(claim.path, content)
        except Exception as error:  # fsspec file systems raise errors of their own
            raise self._write_error(error) from error
        return encode_claim(claim)

    def get(self, claim: Claim) -> str:
        """Return a payload as JSON.

        Args:
            claim: Identifies the payload.

        Raises:
            PayloadLostError: The payload is missing or damaged.
            StoreUnavailableError: The payload cannot be read now.
            ConfigurationError: The payload is larger than this store allows.
        """
        what = f"the job's payload {claim.path}"
        if claim.bytes > self.max_bytes:
            raise ConfigurationError(
                f"{what} has {claim.bytes:,} bytes, more than the {self.max_bytes:,} allowed here; "
                "raise payload_max_bytes (TORIL_PAYLOAD_MAX_BYTES)"
            )
        try:
            content = self._blobs.read(claim.path, claim.bytes + 1)
        except FileNotFoundError:
            raise PayloadLostError(
                f"{what} is not in {self.location}; it was removed, or payload_store is not the "
                "same here as where the job was added"
            ) from None
        except Exception as error:
            raise StoreUnavailableError(
                f"{what} cannot be read from {self.location}: {self._blobs.describe(error)}"
            ) from error
        if len(content) != claim.bytes or sha256(content).hexdigest() != claim.sha256:
            raise PayloadLostError(
                f"{what} in {self.location} is damaged: its size or hash is not the claim's"
            )
        try:
            return content.decode()
        except UnicodeDecodeError:
            raise PayloadLostError(f"{what} in {self.location} is not UTF-8") from None

    def remove_older_than(self, age_ms: int) -> int:
        """Remove the payloads of days that ended at least some time ago.

        Args:
            age_ms: How long ago, in milliseconds.

        Returns:
            How many payloads were removed.

        Raises:
            EngineError: Not all of them could be removed; some may have been.
        """
        until = self._clock.wall_ms() - age_ms
        try:
            folders = self._blobs.folders()
            return sum(self._blobs.remove(name) for name in folders if _ended_by(name, until))
        except Exception as error:
            raise self._write_error(error) from error

    def _write_error(self, error: Exception) -> EngineError:
        number = error.errno if isinstance(error, OSError) else None
        where = f"the payload store {self.location}"
        if number in _FULL:
            return StoreFullError(f"{where} is full")
        if number in _REFUSED:
            return StoreReadOnlyError(f"{where} is not writable: {self._blobs.describe(error)}")
        return StoreUnavailableError(f"{where} cannot be written: {self._blobs.describe(error)}")


def redeem(data: str, store: PayloadStore | None) -> str:
    """Return the payload that a job's claim refers to, as JSON.

    Args:
        data: The job's data as JSON, which looks like a claim.
        store: The payload store; None if none is set.

    Raises:
        PayloadLostError: The payload is missing or damaged, or the data is not a valid claim.
        StoreUnavailableError: The payload cannot be read now.
        ConfigurationError: No payload store is set, or it allows only smaller payloads.
    """
    try:
        claim = decode_claim(data)
    except ValueError as error:
        raise PayloadLostError(f"the job's data is not a valid claim: {error}") from None
    if store is None:
        raise ConfigurationError(
            f"the job's payload {claim.path} is in a payload store, but none is set here; pass "
            "the producer's payload_store to the QueueManager, or set TORIL_PAYLOAD_STORE"
        )
    return store.get(claim)


def open_payload_store(
    where: str | Path, *, threshold: int, max_bytes: int, clock: Clock | None = None
) -> PayloadStore:
    """Return a payload store. Nothing is created and no connection is made yet.

    Args:
        where: A folder, as a path or a file URL, or any other URL, which fsspec handles.
        threshold: The largest payload that stays in its job, in bytes.
        max_bytes: The largest payload that the store accepts, in bytes.
        clock: Provides the current day; defaults to the system clock.

    Raises:
        ConfigurationError: The folder, the URL or a limit is invalid, or a package is missing.
    """
    if not str(where) or not isinstance(where, str | Path):
        raise ConfigurationError(f"payload_store must be a folder or a URL, not {where!r}")
    return PayloadStore(
        _blobs_at(str(where)), threshold=threshold, max_bytes=max_bytes, clock=clock
    )


def _blobs_at(where: str) -> Blobs:
    if "://" not in where:
        return Directory(Path(where))
    if where.partition("://")[0].lower() != "file":
        return Remote(where)
    folder = where.partition("://")[2]
    path = unquote(folder)
    if not path.startswith("/") or not path.strip("/"):
        raise ConfigurationError(
            "payload_store does not name a folder; write it like file:///var/lib/toril/payloads"
        )
    return Directory(Path(path))


def _ended_by(name: str, until_ms: int) -> bool:
    """Return whether a folder is for a day, and that day had ended by a point in time."""
    if not re.fullmatch(DAY, name):
        return False
    try:
        start = datetime.fromisoformat(name).replace(tzinfo=UTC)
    except ValueError:
        return False
    return start.timestamp() * 1000 + _DAY_MS <= until_ms
