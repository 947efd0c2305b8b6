"""Translates errors of SQLite and the operating system, and adds a fix to each."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import apsw

from toril.errors import (
    EngineError,
    StoreBusyError,
    StoreCorruptError,
    StoreFullError,
    StoreReadOnlyError,
    StoreRejectedError,
    StoreUnavailableError,
)

BUSY_MS = 10_000
"""How long a call waits for a lock that another process holds."""


def translate(error: apsw.Error, path: str, system_errno: int = 0) -> EngineError:
    """Translate a SQLite error to one of Toril's, with a fix.

    Args:
        error: The error that apsw raised.
        path: The store's file.
        system_errno: The connection's last system error number.
    """
    no_room = system_errno in _NO_ROOM or _disk_is_full(path)
    if isinstance(error, apsw.IOError | apsw.CantOpenError) and no_room:
        return StoreFullError(_FULL.format(path=path))
    for kinds, ours, message in _TRANSLATIONS:
        if isinstance(error, kinds):
            return ours(message.format(path=path, error=error))
    return EngineError(f"{path}: {error}")


def translate_os(error: OSError, path: str) -> EngineError:
    """Translate a system error during a sync to one of Toril's.

    Args:
        error: The system error.
        path: The file.
    """
    if error.errno in _NO_ROOM:
        return StoreFullError(f"{path}: the disk is full; the last writes may be lost")
    return StoreUnavailableError(f"{path}: the last writes may be lost: {error}")


def translate_open(error: OSError | ValueError, path: str) -> EngineError:
    """Translate a system error on opening a file to one of Toril's.

    Args:
        error: The error. A name with a null character is a ValueError.
        path: The store's file.
    """
    number = error.errno if isinstance(error, OSError) else None
    if number in _NO_ROOM:
        return StoreFullError(_FULL.format(path=path))
    if number in {errno.EACCES, errno.EPERM, errno.EROFS}:
        return StoreReadOnlyError(f"{path} is not writable; change the permissions")
    return StoreUnavailableError(f"{path!r} cannot be opened: {error}")


_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""System errors for a full disk. SQLite reports only the first of them as "full"."""

_FULL = "{path}: the disk is full; make room. Nothing was written"

_TRANSLATIONS: tuple[tuple[tuple[type[apsw.Error], ...], type[EngineError], str], ...] = (
    ((apsw.FullError,), StoreFullError, _FULL),
    (
        (apsw.BusyError, apsw.LockedError),
        StoreBusyError,
        f"{{path}}: another process has held the write lock for {BUSY_MS // 1000} s",
    ),
    (
        (apsw.ReadOnlyError, apsw.PermissionsError, apsw.AuthError),
        StoreReadOnlyError,
        "{path} is not writable; change the permissions",
    ),
    (
        (apsw.ConstraintError, apsw.MismatchError, apsw.TooBigError),
        StoreRejectedError,
        "{path}: the store cannot hold this ({error})",
    ),
    (
        (apsw.NotADBError,),
        StoreCorruptError,
        "{path} is not a SQLite database; name another file",
    ),
    (
        (apsw.CorruptError,),
        StoreCorruptError,
        "{path} is damaged ({error}); restore a backup, or try `sqlite3 {path} .recover`",
    ),
    (
        (apsw.CantOpenError, apsw.IOError),
        StoreUnavailableError,
        "{path}: cannot be read or written ({error})",
    ),
)


def _disk_is_full(path: str) -> bool:
    """Return whether the disk is full, which SQLite reports as an I/O error in some cases."""
    try:
        room = os.statvfs(Path(path).parent)
    except OSError as error:
        return error.errno == errno.ENOSPC
    return room.f_blocks > 0 and room.f_bavail * room.f_frsize < 64 * 1024
