"""Payloads in a folder: each is a file that is on the disk, and whole, once it has its name."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

from toril.model.ids import new_id

_NO_LINKS = getattr(os, "O_NOFOLLOW", 0)
_BINARY = getattr(os, "O_BINARY", 0)


class Directory:
    """A folder, on this machine or mounted.

    Attributes:
        location: Its URL.
    """

    def __init__(self, root: Path) -> None:
        """Name a folder; it is made when the first payload is written.

        Args:
            root: The folder.
        """
        self._root = root.absolute()
        self.location = self._root.as_uri()

    def write(self, path: str, content: bytes) -> None:
        """Write a file and bring it to the disk, or leave nothing."""
        if not self._root.is_dir():
            self._root.mkdir(parents=True, exist_ok=True)
            _sync(self._root.parent)
        target = self._root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = target.with_name(f".{new_id()}")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_LINKS | _BINARY
        try:
            with open(os.open(draft, flags, 0o666), "wb") as file:  # noqa: PTH123 - a descriptor
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(target)
        except BaseException:
            with contextlib.suppress(OSError):
                draft.unlink()
            raise
        for folder in (target.parent, target.parent.parent, self._root):
            _sync(folder)

    def read(self, path: str, most: int) -> bytes:
        """Return a file's first bytes.

        Raises:
            FileNotFoundError: It is not there, but others are.
            OSError: It cannot be read, or the folder looks like that of a disk which is away.
        """
        try:
            descriptor = os.open(self._root / path, os.O_RDONLY | _NO_LINKS | _BINARY)
        except FileNotFoundError:
            if not self._root.is_dir() or not any(self._root.iterdir()):
                raise OSError("the folder is not there or empty; is its disk mounted?") from None
            raise
        with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor
            return file.read(most)

    def folders(self) -> list[str]:
        """Return the names of the folders in it."""
        if not self._root.is_dir():
            return []
        return [found.name for found in os.scandir(self._root) if found.is_dir()]

    def remove(self, folder: str) -> int:
        """Remove a folder; return how many payloads were in it."""
        place = self._root / folder
        count = sum(1 for file in place.glob("*/[!.]*"))
        shutil.rmtree(place)
        return count


def _sync(folder: Path) -> None:
    """Bring the names in a folder to the disk, where that is not done with the files."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
