"""A disk without room: a clear error, nothing half-written, and work goes on once there is some.

The disk is a small file system in memory where the system lets us mount one, which nobody
else sees; everywhere it is a limit on the size of files, which SQLite meets as an I/O error.
"""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path

import pytest

from tests.engine.sqlite.support import program

MOUNT = 'mount -t tmpfs -o size=1m tmpfs "$0" && exec "$@" "$0" tmpfs'


@cache
def namespace() -> tuple[str, ...]:
    """Return the command under which a program may mount; nothing where none may."""
    for command in (("unshare", "-m"), ("unshare", "-rm")):
        mount = ("mount", "-t", "tmpfs", "tmpfs", "/tmp")
        try:
            if subprocess.run((*command, *mount), capture_output=True, check=False).returncode == 0:
                return command
        except FileNotFoundError:
            break
    return ()


KINDS = ["file-size-limit", "tmpfs"] if namespace() else ["file-size-limit"]


@pytest.mark.parametrize("kind", KINDS)
async def test_a_full_disk_refuses_jobs_whole_and_takes_them_once_there_is_room(
    tmp_path: Path, kind: str
) -> None:
    # The shell mounts the folder and hands over to Python, which sh calls $1.
    through = (*namespace(), "sh", "-c", MOUNT, str(tmp_path)) if kind == "tmpfs" else ()
    args = () if kind == "tmpfs" else (tmp_path, kind)
    async with program("full_disk", *args, through=through) as process:
        working, opening = await process.json(), await process.json()
        await process.end()

    accepted = working["accepted"]
    assert accepted > 0
    assert working["refused"].startswith("StoreFullError: ")
    assert "jobs.db: the disk is full; make room. Nothing was written" in working["refused"]
    assert working["while full"] == 3 + 20 * accepted
    assert working["together"] == ["StoreFullError"]

    # A settlement whose follow-ups find no room is refused with them, and holds once they do.
    assert working["settled while full"].startswith("StoreFullError: ")
    assert working["follow-ups while full"] == 0
    assert working["follow-ups"] == 20

    # The batch that was refused is not taken for one that is sent again.
    assert working["again"] == ["created"]
    assert working["settled"] == [None]
    assert working["after"] == 3 + 20 * accepted + 20 - 1
    assert working["reopened"] == working["after"]
    assert working["whole"]
    assert working["sound"] == ["ok"]

    assert opening["refused"].startswith("StoreFullError: ")
    assert opening["after"] == "done"
    assert opening["jobs"] == 3
