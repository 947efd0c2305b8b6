"""Errors of SQLite and the system as ours, each with a fix."""

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
    StoreUnavailableError,
)

BUSY_MS = 10_000
"""How long a call waits for a lock that another process holds."""


def translate(error: apsw.Error, path: str, system_errno: int = 0) -> EngineError:
    """Return an error of SQLite as one of ours, with the way out.

    Args:
        error: What apsw raised.
        path: The store.
        system_errno: What the system answered last, as the connection tells it.
    """
    no_room = system_errno in _NO_ROOM or _disk_is_full(path)
    if isinstance(error, apsw.IOError | apsw.CantOpenError) and no_room:
        return StoreFullError(_FULL.format(path=path))
    for kinds, ours, message in _TRANSLATIONS:
        if isinstance(error, kinds):
            return ours(message.format(path=path, error=error))
    return EngineError(f"{path}: {error}")


def translate_os(error: OSError, path: str) -> EngineError:
    """Return an error of the system, met while syncing, as one of ours.

    Args:
        error: What the system said.
        path: The file.
    """
    if error.errno in _NO_ROOM:
        return StoreFullError(f"{path}: the disk is full; what was written last may be lost")
    return StoreUnavailableError(f"{path}: what was written last may be lost: {error}")


_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""SQLite says "full" only of the first."""

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
        "{path}: may not be written; change the permissions",
    ),
    (
        (apsw.NotADBError,),
        StoreCorruptError,
        "{path} is not a SQLite database; name another file",
    ),
    (
        (apsw.CorruptError,),
        StoreCorruptError,
        "{path} is damaged ({error}); restore a backup, or save with `sqlite3 {path} .recover`",
    ),
    (
        (apsw.CantOpenError, apsw.IOError),
        StoreUnavailableError,
        "{path}: cannot be read or written ({error})",
    ),
)


def _disk_is_full(path: str) -> bool:
    """Whether an I/O error means that there is no room: SQLite does not always say so."""
    try:
        room = os.statvfs(Path(path).parent)
    except OSError as error:
        return error.errno == errno.ENOSPC
    return room.f_blocks > 0 and room.f_bavail * room.f_frsize < 64 * 1024
