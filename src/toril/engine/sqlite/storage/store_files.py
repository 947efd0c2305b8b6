"""The files behind a connection: are they still those at their paths, and does the lock hold?

SQLite's locks are POSIX locks, which have a trap: if any code of this process opens and closes the
store's file (Python's sqlite3, a copy for a backup), the process loses all its locks on it. The
next process to close the store then believes that it is the last one, and removes the log that
this process goes on writing to. Against this there is a lock of another kind, which only ends with
its own descriptor. And after each sync, the files at the paths are compared with the open ones,
because they can also be moved, removed or replaced.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import struct
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import NamedTuple, TypeAlias

from toril.errors import StoreUnavailableError

_Identity: TypeAlias = tuple[int, int]
"""A file's device and inode, which no other file has while it is open."""

_STALE_SECONDS = 0.01
_FLAGS = os.O_RDWR | getattr(os, "O_CLOEXEC", 0)

# Source: SQLite, os_unix.c. A connection holds a read lock on the first and the last range.
_SHARED = (0x40000000 + 2, 510)  # in the file
_PENDING = (0x40000000, 1)  # a write lock keeps others from opening the file
_IN_USE = (128, 1)  # in the log's index


class _OpenFile(NamedTuple):
    path: str
    descriptor: int
    identity: _Identity


class _Descriptors:
    """The descriptors of store files that this process has open besides SQLite's own.

    Closing one drops all POSIX locks that the process has on its file. So each stays open for as
    long as a connection of this process may use the file.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._opening = 0
        self._users: Counter[_Identity] = Counter()
        self._unused: defaultdict[_Identity, list[int]] = defaultdict(list)

    @contextlib.contextmanager
    def opening(self) -> Iterator[None]:
        """Close no descriptor while the context is open: a connection is about to be made."""
        with self._lock:
            self._opening += 1
        try:
            yield
        finally:
            with self._lock:
                self._opening -= 1
                self._close_unused()

    def join(self, store: _Identity) -> None:
        """Count a connection to a store."""
        with self._lock:
            self._users[store] += 1

    def leave(self, store: _Identity, descriptors: list[int]) -> None:
        """Take a closed connection off the count, and close its descriptors when it is safe."""
        with self._lock:
            self._users[store] -= 1
            self._unused[store] += descriptors
            self._close_unused()

    def _close_unused(self) -> None:
        if self._opening:
            return
        for store in [one for one in self._unused if self._users[one] <= 0]:
            del self._users[store]
            for descriptor in self._unused.pop(store):
                os.close(descriptor)


_descriptors = _Descriptors()
opening = _descriptors.opening


class StoreFiles:
    """The store's file, its log and the log's index, as this process has them open.

    Attributes:
        lost: Why they are no longer the files at their paths; None as long as they are.
    """

    def __init__(self, path: str, log: str) -> None:
        """Open the files of a connection. Do so in the context `opening`.

        Args:
            path: The store's file.
            log: Its write-ahead log.

        Raises:
            OSError: One of them cannot be opened.
        """
        self.lost: StoreUnavailableError | None = None
        self._verified = 0.0
        index = f"{log.removesuffix('-wal')}-shm"
        self._files: list[_OpenFile] = []
        try:
            self._files += (_open(one) for one in (path, log, index))
        except OSError:
            for file in self._files:
                os.close(file.descriptor)
            raise
        _descriptors.join(self._files[0].identity)
        _lock(self._files[0].descriptor, _SHARED)
        _lock(self._files[2].descriptor, _IN_USE)

    @property
    def log(self) -> int:
        """The descriptor of the log."""
        return self._files[1].descriptor

    def verify(self) -> None:
        """Check that the files at the paths are the open ones.

        Raises:
            StoreUnavailableError: They are not. What is written now would be lost.
        """
        if self.lost is None:
            for file in self._files:
                if (why := _difference(file)) is not None:
                    self.lost = self._error(file, why)
                    break
        if self.lost is not None:
            raise StoreUnavailableError(str(self.lost))
        self._verified = time.monotonic()

    def verify_soon(self) -> None:
        """Like `verify`, but do nothing if the files were checked a moment ago."""
        if self.lost is not None or time.monotonic() - self._verified > _STALE_SECONDS:
            self.verify()

    def _error(self, file: _OpenFile, why: str) -> StoreUnavailableError:
        store, fix = self._files[0], _PUT_BACK
        if file is not store:
            fix = _USE_TORIL
        return StoreUnavailableError(f"{file.path} {why} while the store was in use. {fix}")

    def may_be_followed_by(self, path: str) -> None:
        """Check that the file at the path may be opened in place of these files, which are lost.

        Raises:
            StoreUnavailableError: There is none, or it lies beside the log of another one.
        """
        store, log, index = self._files
        if _identity(path) is None:
            raise StoreUnavailableError(str(self.lost))
        if _identity(path) != store.identity and _identity(log.path) == log.identity:
            raise StoreUnavailableError(
                f"{path} was replaced while the store was in use, but {log.path} still belongs to "
                f"the file before. Stop all processes that use the store, and remove {log.path} "
                f"and {index.path}; or put the file before back"
            )

    @contextlib.contextmanager
    def while_nobody_opens(self) -> Iterator[bool]:
        """Keep others from opening the store while the context is open.

        Yields:
            Whether only the log is gone, and nobody has begun another one: what is in the lost log
            then fits the file.
        """
        store, log, _ = self._files
        with _descriptors.opening():
            locked = _lock(store.descriptor, _PENDING, kind=fcntl.F_WRLCK)
            try:
                yield (
                    locked
                    and _identity(store.path) == store.identity
                    and _identity(log.path) is None
                )
            finally:
                _lock(store.descriptor, _PENDING, kind=fcntl.F_UNLCK)

    def unlock(self) -> None:
        """Give up the lock, so that closing the connection may remove the log."""
        for file, place in ((self._files[0], _SHARED), (self._files[2], _IN_USE)):
            _lock(file.descriptor, place, kind=fcntl.F_UNLCK)

    def close(self) -> None:
        """Close the files. Do so after the connection is closed."""
        _descriptors.leave(self._files[0].identity, [file.descriptor for file in self._files])


_PUT_BACK = (
    "What was written since is not in it. Put the file back, and work continues; or, if another "
    "file is to take its place, close the manager and open it again"
)
_USE_TORIL = (
    "What was written since may be missing: repeat the calls that failed. Work continues with the "
    "next call. Let nothing but Toril open the store in this process, and remove none of its files"
)


def _open(path: str) -> _OpenFile:
    descriptor = os.open(path, _FLAGS)
    found = os.fstat(descriptor)
    return _OpenFile(path, descriptor, (found.st_dev, found.st_ino))


def _identity(path: str) -> _Identity | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - on the hot path
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _difference(file: _OpenFile) -> str | None:
    """Return what became of a file; None if it is at its path."""
    try:
        found = os.stat(file.path)  # noqa: PTH116 - on the hot path
    except OSError as error:
        missing = error.errno in {errno.ENOENT, errno.ENOTDIR}
        return "was moved or removed" if missing else f"cannot be reached ({error.strerror})"
    same = (found.st_dev, found.st_ino) == file.identity
    return None if same else "was replaced by another file"


def _lock(descriptor: int, place: tuple[int, int], kind: int = fcntl.F_RDLCK) -> bool:
    """Set a lock that belongs to a descriptor, not to the process, and return whether it is set.

    Only Linux has such locks, and not on every file system. Elsewhere, the check has to do.
    """
    if sys.platform != "linux":
        return False
    start, length = place
    request = struct.pack("hhqqi", kind, os.SEEK_SET, start, length, 0)
    try:
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, request)
    except OSError:
        return False
    return True
