"""Diagnosis of the store. It may be slow, so it uses a connection of its own."""

from __future__ import annotations

import shutil
from contextlib import closing
from pathlib import Path

import apsw

from toril.engine.contract.diagnosis import Finding
from toril.engine.sqlite.storage.migrations import pragma
from toril.engine.sqlite.storage.store import Store

_FIXED_WAL = (3, 51, 3)
_LOW_DISK = 1 << 30
_MANY_FINISHED = 1_000_000
_LARGE_WAL = 256 << 20


def examine(path: str | None) -> list[Finding]:
    """Check the store for problems that may lose jobs or slow them down.

    Args:
        path: The store's file; None if the store is in memory.
    """
    findings = [_version()]
    if path is None:
        findings.append(
            Finding(
                "warning", "durability", "jobs are in memory and are lost when the process ends"
            )
        )
        return findings
    store = Store(path)
    with closing(store):
        connection = store.open(create=True)
        findings += [_integrity(connection), _durability(connection), _retention(connection)]
    return [*findings, _disk(path), _log(path)]


def _version() -> Finding:
    version = apsw.sqlite_lib_version()
    if tuple(int(part) for part in version.split(".")) < _FIXED_WAL:
        return Finding(
            "error",
            "sqlite",
            f"SQLite {version} can corrupt a file that two processes write to; "
            "upgrade the package apsw to 3.51.3 or newer",
        )
    return Finding("ok", "sqlite", f"SQLite {version}")


def _integrity(connection: apsw.Connection) -> Finding:
    answer = pragma(connection, "quick_check(1)")
    if answer == "ok":
        return Finding("ok", "integrity", "the file is sound")
    return Finding("error", "integrity", f"the file is damaged ({answer}); restore a backup")


def _durability(connection: apsw.Connection) -> Finding:
    mode = pragma(connection, "journal_mode")
    if mode == "wal":
        return Finding("ok", "durability", "added jobs survive a loss of power")
    return Finding(
        "error",
        "durability",
        f"the journal mode is {mode!r}, but Toril syncs only a write-ahead log; "
        "keep other programs from changing it",
    )


def _retention(connection: apsw.Connection) -> Finding:
    row = connection.execute(
        "SELECT coalesce(sum(n), 0) FROM tally WHERE state IN ('completed', 'failed')"
    ).fetchone()
    finished = row[0] if row else 0
    if finished > _MANY_FINISHED:
        return Finding(
            "warning",
            "retention",
            f"{finished:,} finished jobs are kept; set remove_on_complete and remove_on_fail, "
            "or run `toril queue clean`",
        )
    return Finding("ok", "retention", f"{finished:,} finished jobs are kept")


def _disk(path: str) -> Finding:
    free = shutil.disk_usage(Path(path).parent).free
    if free < _LOW_DISK:
        return Finding("warning", "disk", f"only {free >> 20:,} MiB are free; make room")
    return Finding("ok", "disk", f"{free >> 30:,} GiB are free")


def _log(path: str) -> Finding:
    try:
        size = Path(f"{path}-wal").stat().st_size
    except FileNotFoundError:
        size = 0
    if size > _LARGE_WAL:
        return Finding(
            "warning",
            "wal",
            f"the write-ahead log has grown to {size >> 20:,} MiB because a program keeps a read "
            "transaction open",
        )
    return Finding("ok", "wal", f"the write-ahead log has {size >> 10:,} KiB")
