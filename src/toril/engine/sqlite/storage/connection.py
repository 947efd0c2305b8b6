"""Opening the file: settings, version, migrations, and errors in words of our own."""

from __future__ import annotations

import errno
import os
import re
import time
from importlib.resources import files
from pathlib import Path

import apsw

from toril.errors import (
    EngineError,
    StoreBusyError,
    StoreCorruptError,
    StoreFullError,
    StoreReadOnlyError,
    StoreUnavailableError,
    StoreVersionError,
)

APPLICATION_ID = 0x546F726C  # "Torl", in the file's header: `file` and we tell ours by it
BUSY_MS = 10_000
PAGE_CACHE_KIB = 16_384
MEMORY = ":memory:"
_RETRY_SECONDS = 0.005

_MIGRATION = re.compile(r"(\d{4})_\w+\.sql")


def migrations() -> dict[int, str]:
    """Return the schema's steps by the version each leads to."""
    found = {}
    for file in (files(__package__) / "schema").iterdir():
        if match := _MIGRATION.fullmatch(file.name):
            found[int(match[1])] = file.read_text(encoding="utf-8")
    return dict(sorted(found.items()))


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
        _version(connection, path)  # before anything is changed in a file that is not ours
        _configure(connection, path)
        _migrate(connection, path)
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


def pragma(connection: apsw.Connection, text: str) -> object:
    """Run a PRAGMA and return the one value it answers with, if any."""
    row = connection.execute(f"PRAGMA {text}").fetchone()
    return row[0] if row else None


def _migrate(connection: apsw.Connection, path: str) -> None:
    steps = migrations()
    newest = max(steps)
    if _version(connection, path) == newest:
        return
    connection.execute("BEGIN IMMEDIATE")  # two processes may have found a new file at once
    try:
        version = _version(connection, path)
        for step, script in steps.items():
            if step > version:
                connection.execute(script)
        pragma(connection, f"application_id = {APPLICATION_ID}")
        pragma(connection, f"user_version = {newest}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _version(connection: apsw.Connection, path: str) -> int:
    """Return the store's version; 0 is an empty file.

    Raises:
        StoreCorruptError: It is another program's.
        StoreVersionError: It is newer than this program.
    """
    newest = max(migrations())
    version = pragma(connection, "user_version")
    if not isinstance(version, int) or not _may_be_ours(connection):
        raise StoreCorruptError(
            f"{path} is a SQLite database of another program; name another file"
        )
    if version > newest:
        raise StoreVersionError(
            f"{path} was written by a newer Toril (its store is version {version}, this one "
            f"knows {newest}); upgrade this Toril, or name another file"
        )
    return version


def _is_ours(connection: apsw.Connection) -> bool:
    return pragma(connection, "application_id") == APPLICATION_ID


def _may_be_ours(connection: apsw.Connection) -> bool:
    """Whether it is ours, or empty and about to be."""
    tables = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    return _is_ours(connection) or (tables is not None and tables[0] == 0)


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
