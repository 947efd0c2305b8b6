"""Opening the file: what must be true of it, and its settings."""

from __future__ import annotations

import os
import time
from pathlib import Path

import apsw

from toril.engine.sqlite.storage.errors import BUSY_MS, translate
from toril.engine.sqlite.storage.migrations import migrate, pragma, version_of
from toril.errors import EngineError, StoreReadOnlyError, StoreUnavailableError

PAGE_CACHE_KIB = 16_384
MEMORY = ":memory:"
_RETRY_SECONDS = 0.005


def connect(path: str, *, create: bool = True) -> apsw.Connection:
    """Open a store, making it or bringing it up to date.

    Args:
        path: The file, or MEMORY.
        create: Make the file if it is not there.

    Returns:
        A connection for one thread.

    Raises:
        EngineError: It cannot be opened, is no Toril store, is damaged, or was written
            by a newer version. The message says what to do.
    """
    try:
        check_folder(path)
        if not create and path != MEMORY and not Path(path).exists():
            raise StoreUnavailableError(f"there is no store at {path}")
        connection = apsw.Connection(path)
    except apsw.Error as error:
        raise translate(error, path) from error
    except (OSError, ValueError) as error:
        raise StoreUnavailableError(f"{path!r} cannot be opened: {error}") from error
    try:
        connection.set_busy_timeout(BUSY_MS)
        version_of(connection, path)  # before anything is changed in a file that is not ours
        _configure(connection, path)
        migrate(connection, path)
    except apsw.Error as error:
        errno_then = connection.system_errno
        connection.close()
        raise translate(error, path, errno_then) from error
    except EngineError:
        connection.close()
        raise
    return connection


def check_folder(path: str) -> None:
    """Refuse a path that cannot be, with the reason SQLite does not give.

    Raises:
        StoreUnavailableError: The folder is missing, or the path is a folder.
        StoreReadOnlyError: The folder or the file may not be written.
    """
    if path == MEMORY:
        return
    file = Path(path)
    folder = file.parent
    if not folder.is_dir():
        raise StoreUnavailableError(f"{path}: the folder {folder} does not exist; make it first")
    if file.is_dir():
        raise StoreUnavailableError(f"{path} is a folder; name a file in it")
    target = file if file.exists() else folder
    if not os.access(target, os.W_OK) or not os.access(folder, os.W_OK):
        raise StoreReadOnlyError(
            f"{path}: {target} may not be written; SQLite needs to write the file and its "
            "folder. Change the permissions or choose another place"
        )


def _configure(connection: apsw.Connection, path: str) -> None:
    # Other processes hold the lock for a millisecond or so: wait on it in small steps
    # where the library can, instead of SQLite's own that grow to a tenth of a second.
    if hasattr(connection, "setlk_timeout"):
        connection.setlk_timeout(BUSY_MS, 0)
    _keep_a_log(connection)
    # A commit waits for no disk: what was promised is synced by `Syncer` before it is answered.
    pragma(connection, "synchronous = NORMAL")
    pragma(connection, f"cache_size = -{PAGE_CACHE_KIB}")
    pragma(connection, "temp_store = MEMORY")
    if path != MEMORY and pragma(connection, "journal_mode") != "wal":
        raise StoreUnavailableError(
            f"{path}: this file system cannot keep a write-ahead log; put the file on a local disk"
        )


def _keep_a_log(connection: apsw.Connection) -> None:
    """Switch to a write-ahead log, which SQLite refuses at once while others open the file."""
    give_up = time.monotonic() + BUSY_MS / 1000
    while True:
        try:
            pragma(connection, "journal_mode = WAL")
        except apsw.BusyError:
            if time.monotonic() > give_up:
                raise
            time.sleep(_RETRY_SECONDS)
        else:
            return
