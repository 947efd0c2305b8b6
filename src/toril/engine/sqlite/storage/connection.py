"""Opens the file: checks it, configures the connection, and migrates the schema."""

from __future__ import annotations

import contextlib
import os
import stat
import time
from pathlib import Path

import apsw

from toril.engine.sqlite.storage.errors import BUSY_MS, translate, translate_open
from toril.engine.sqlite.storage.migrations import migrate, pragma, version_of
from toril.errors import EngineError, StoreReadOnlyError, StoreUnavailableError

PAGE_CACHE_KIB = 16_384
MEMORY = ":memory:"
PRIVATE = 0o600
_RETRY_SECONDS = 0.005


def connect(path: str, *, create: bool = True) -> apsw.Connection:
    """Open a store, creating it or migrating it to the newest schema.

    Args:
        path: The file, or MEMORY.
        create: Whether to create the file if it does not exist.

    Returns:
        A connection for use by one thread.

    Raises:
        EngineError: The store cannot be opened, is damaged, is not a Toril store, or was
            written by a newer version. The message says what to do.
    """
    try:
        check_folder(path)
        if not create and path != MEMORY and not Path(path).exists():
            raise StoreUnavailableError(f"there is no store at {path}")
        if path != MEMORY:
            _make_file(path)
            _check_owners(path)
        connection = apsw.Connection(path)
    except apsw.Error as error:
        raise translate(error, path) from error
    except (OSError, ValueError) as error:
        raise translate_open(error, path) from error
    try:
        connection.set_busy_timeout(BUSY_MS)
        version_of(
            connection, path
        )  # before changing anything, as the file may not be a Toril store
        _configure(connection, path)
        migrate(connection, path)
    except apsw.Error as error:
        errno_then = connection.system_errno
        connection.close()
        raise translate(error, path, errno_then) from error
    except OSError as error:  # the schema's files cannot be read, for lack of descriptors
        connection.close()
        raise StoreUnavailableError(f"{path!r} cannot be opened: {error}") from error
    except EngineError:
        connection.close()
        raise
    return connection


def check_folder(path: str) -> None:
    """Check that a path can be opened, because SQLite does not say why it cannot.

    Raises:
        StoreUnavailableError: The folder is missing, or the path is a folder.
        StoreReadOnlyError: The folder or the file is not writable.
    """
    if path == MEMORY:
        return
    file = Path(path)
    folder = file.parent
    if not folder.is_dir():
        raise StoreUnavailableError(f"{path}: the folder {folder} does not exist; create it first")
    if file.is_dir():
        raise StoreUnavailableError(f"{path} is a folder; name a file in it")
    target = file if file.exists() else folder
    if not os.access(target, os.W_OK) or not os.access(folder, os.W_OK):
        raise StoreReadOnlyError(
            f"{path}: {target} is not writable; SQLite needs to write to the file and its "
            "folder. Change the permissions or choose another folder"
        )


def _make_file(path: str) -> None:
    """Create the file if it does not exist, for this user alone.

    SQLite would let everyone read it. Its log and the log's index get the file's permissions. To
    share a store, change the permissions of the file.
    """
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, PRIVATE))


def _check_owners(path: str) -> None:
    """Check that nobody else has put a log beside the file, where anyone can create files.

    SQLite would write what is in such a log into the file.

    Raises:
        StoreUnavailableError: Somebody has.
    """
    if os.name == "nt" or not Path(path).parent.stat().st_mode & stat.S_IWOTH:
        return
    trusted = {0, os.geteuid(), Path(path).stat().st_uid}
    for beside in (f"{path}-wal", f"{path}-shm", f"{path}-journal"):
        with contextlib.suppress(FileNotFoundError):
            owner = Path(beside).lstat().st_uid
            if owner not in trusted:
                raise StoreUnavailableError(
                    f"{beside} belongs to another user (uid {owner}), in a folder where everyone "
                    "can create files. Remove it if it is not yours, or move the store to a "
                    "folder of its own"
                )


def _configure(connection: apsw.Connection, path: str) -> None:
    # Other processes hold the lock for about a millisecond. If the library supports it, wait on
    # the lock itself; SQLite's default sleeps in steps that grow to a tenth of a second.
    if hasattr(connection, "setlk_timeout"):
        connection.setlk_timeout(BUSY_MS, 0)
    _enable_wal(connection)
    # Commits do not wait for the disk. `Syncer` syncs the log before durable calls return.
    pragma(connection, "synchronous = NORMAL")
    pragma(connection, f"cache_size = -{PAGE_CACHE_KIB}")
    pragma(connection, "temp_store = MEMORY")
    if path != MEMORY and pragma(connection, "journal_mode") != "wal":
        raise StoreUnavailableError(
            f"{path}: this file system does not support a write-ahead log; "
            "put the file on a local disk"
        )


def _enable_wal(connection: apsw.Connection) -> None:
    """Switch to a write-ahead log. Retry, because SQLite refuses while others open the file."""
    deadline = time.monotonic() + BUSY_MS / 1000
    while True:
        try:
            pragma(connection, "journal_mode = WAL")
        except apsw.BusyError:
            if time.monotonic() > deadline:
                raise
            time.sleep(_RETRY_SECONDS)
        else:
            return
