"""A store of payloads: each is found by the day it was written and the hash of its JSON.

A folder holds what was written on one day, so that old payloads go folder by folder, and
nothing is ever removed that somebody writes at the same time.
"""

from __future__ import annotations

import errno
import re
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

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
    """Where a store keeps its files. A path has slashes; any exception may come of a call."""

    location: str

    def write(self, path: str, content: bytes, /) -> None:
        """Keep a file; when this returns it survives a loss of power."""
        ...

    def read(self, path: str, most: int, /) -> bytes:
        """Return a file's first bytes; FileNotFoundError where it will never be there."""
        ...

    def folders(self) -> list[str]:
        """Return the names of the folders at the root."""
        ...

    def remove(self, folder: str, /) -> int:
        """Remove a folder with the files in it; return how many they were."""
        ...


class PayloadStore:
    """Keeps payloads. Its methods block: they are for threads.

    Attributes:
        location: Where it is, without a password.
        threshold: The largest payload that stays with its job, in bytes.
        max_bytes: The largest payload.
    """

    def __init__(
        self, blobs: Blobs, *, threshold: int, max_bytes: int, clock: Clock | None = None
    ) -> None:
        """Make a store; `open_payload_store` does from a URL.

        Args:
            blobs: Where its files are.
            threshold: The largest payload that stays with its job, in bytes.
            max_bytes: The largest payload.
            clock: Tells the day; the machine's unless given.

        Raises:
            ConfigurationError: A limit is refused.
        """
        for name, value, least, most in (
            ("payload_threshold", threshold, LEAST_THRESHOLD, MOST_BYTES),
            ("payload_max_bytes", max_bytes, LEAST_THRESHOLD, MOST_BYTES),
        ):
            if not is_integer(value) or not least <= value <= most:
                raise ConfigurationError(
                    f"{name} is {value!r}; give a number of bytes from {least:,} to {most:,}"
                )
        self.location = blobs.location
        self.threshold = threshold
        self.max_bytes = max_bytes
        self._blobs = blobs
        self._clock = clock or SystemClock()

    def put(self, text: str) -> str:
        """Keep a payload.

        Args:
            text: Its JSON.

        Returns:
            The data, as JSON, of a job that carries a claim on it.

        Raises:
            EngineError: It could not be kept.
        """
        content = text.encode()
        today = datetime.fromtimestamp(self._clock.wall_ms() / 1000, UTC).date().isoformat()
        claim = Claim(today, sha256(content).hexdigest(), len(content))
        try:
            self._blobs.write(claim.path, content)
        except Exception as error:  # fsspec's systems have errors of their own
            raise self._write_error(error) from error
        return encode_claim(claim)

    def get(self, claim: Claim) -> str:
        """Return a payload, as JSON.

        Raises:
            PayloadLostError: It is not there, or damaged.
            StoreUnavailableError: It cannot be read now.
            ConfigurationError: It is larger than this store allows.
        """
        what = f"its payload {claim.path}"
        if claim.bytes > self.max_bytes:
            raise ConfigurationError(
                f"{what} has {claim.bytes:,} bytes, more than the {self.max_bytes:,} allowed here; "
                "raise payload_max_bytes (TORIL_PAYLOAD_MAX_BYTES)"
            )
        try:
            content = self._blobs.read(claim.path, claim.bytes + 1)
        except FileNotFoundError:
            raise PayloadLostError(
                f"{what} is not in {self.location}; it was removed, or payload_store is another "
                "one here than where the job was added"
            ) from None
        except Exception as error:
            raise StoreUnavailableError(
                f"{what} cannot be read from {self.location}: {_text(error)}"
            ) from error
        if len(content) != claim.bytes or sha256(content).hexdigest() != claim.sha256:
            raise PayloadLostError(f"{what} in {self.location} is damaged: it is not what was put")
        try:
            return content.decode()
        except UnicodeDecodeError:
            raise PayloadLostError(f"{what} in {self.location} is not UTF-8") from None

    def remove_older_than(self, age_ms: int) -> int:
        """Remove the payloads of the days that ended some time ago.

        Args:
            age_ms: How long ago at least.

        Returns:
            How many were removed.

        Raises:
            EngineError: They could not be removed; some may have been.
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
            return StoreReadOnlyError(f"{where} may not be written: {error}")
        return StoreUnavailableError(f"{where} cannot be written: {_text(error)}")


def redeem(data: str, store: PayloadStore | None) -> str:
    """Return the payload, as JSON, on which a job's data carry a claim.

    Args:
        data: The job's data, as JSON.
        store: Where it should be.

    Raises:
        PayloadLostError: It is not there, or damaged, or what looks like a claim is none.
        StoreUnavailableError: It cannot be read now.
        ConfigurationError: There is no store here, or it allows only smaller ones.
    """
    try:
        claim = decode_claim(data)
    except ValueError as error:
        raise PayloadLostError(f"its data are no claim on a payload: {error}") from None
    if store is None:
        raise ConfigurationError(
            f"its payload {claim.path} is in a payload store, and none is set here: give the "
            "QueueManager the payload_store of the producer, or set TORIL_PAYLOAD_STORE"
        )
    return store.get(claim)


def open_payload_store(
    where: str | Path, *, threshold: int, max_bytes: int, clock: Clock | None = None
) -> PayloadStore:
    """Return the store of payloads at a place; nothing is made or connected to yet.

    Args:
        where: A folder as a path or a file URL; any other URL is fsspec's.
        threshold: The largest payload that stays with its job, in bytes.
        max_bytes: The largest payload.
        clock: Tells the day; the machine's unless given.

    Raises:
        ConfigurationError: The place or a limit is refused, or a package is missing.
    """
    if not str(where) or not isinstance(where, str | Path):
        raise ConfigurationError(f"payload_store is {where!r}; give a folder or a URL")
    return PayloadStore(
        _blobs_at(str(where)), threshold=threshold, max_bytes=max_bytes, clock=clock
    )


def _blobs_at(where: str) -> Blobs:
    if "://" not in where:
        return Directory(Path(where))
    try:
        parts = urlsplit(where)
    except ValueError as error:
        raise ConfigurationError(f"payload_store {where!r} is no URL: {error}") from None
    if parts.scheme != "file":
        return Remote(where)
    path = unquote(parts.path)
    if parts.netloc or not path.strip("/"):
        raise ConfigurationError(
            f"payload_store {where!r} names no folder; write file:///var/lib/toril/payloads"
        )
    return Directory(Path(path))


def _ended_by(name: str, until_ms: int) -> bool:
    """Whether a folder is one of a day, and that day had ended at a point in time."""
    if not re.fullmatch(DAY, name):
        return False
    try:
        begun = datetime.fromisoformat(name).replace(tzinfo=UTC)
    except ValueError:
        return False
    return begun.timestamp() * 1000 + _DAY_MS <= until_ms


def _text(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
