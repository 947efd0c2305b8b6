"""Schema migrations."""

from __future__ import annotations

import re
from importlib.resources import files

import apsw

from toril.errors import StoreCorruptError, StoreVersionError

APPLICATION_ID = 0x546F726C  # "Torl": identifies Toril stores in the file's header

_MIGRATION = re.compile(r"(\d{4})_\w+\.sql")


def migrations() -> dict[int, str]:
    """Return the migration scripts by the schema version that each leads to."""
    found = {}
    for file in (files("toril.engine.sqlite") / "schema").iterdir():
        if match := _MIGRATION.fullmatch(file.name):
            found[int(match[1])] = file.read_text(encoding="utf-8")
    return dict(sorted(found.items()))


def pragma(connection: apsw.Connection, text: str) -> object:
    """Run a PRAGMA and return its value, if any."""
    row = connection.execute(f"PRAGMA {text}").fetchone()
    return row[0] if row else None


def migrate(connection: apsw.Connection, path: str) -> None:
    """Run the migrations that a store lacks."""
    steps = migrations()
    newest = max(steps)
    if version_of(connection, path) == newest:
        return
    connection.execute("BEGIN IMMEDIATE")  # another process may be migrating it too
    try:
        version = version_of(connection, path)
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


def version_of(connection: apsw.Connection, path: str) -> int:
    """Return the store's schema version; 0 for an empty file.

    Raises:
        StoreCorruptError: The file is another program's database.
        StoreVersionError: The store was written by a newer Toril.
    """
    newest = max(migrations())
    version = pragma(connection, "user_version")
    if not isinstance(version, int) or not _may_be_ours(connection):
        raise StoreCorruptError(
            f"{path} is a SQLite database of another program; name another file"
        )
    if version > newest:
        raise StoreVersionError(
            f"{path} was written by a newer Toril (its store has version {version}, this one "
            f"supports up to {newest}); upgrade this Toril, or name another file"
        )
    return version


def _is_ours(connection: apsw.Connection) -> bool:
    return pragma(connection, "application_id") == APPLICATION_ID


def _may_be_ours(connection: apsw.Connection) -> bool:
    """Return whether the file is a Toril store, or empty and about to become one."""
    tables = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    return _is_ours(connection) or (tables is not None and tables[0] == 0)
