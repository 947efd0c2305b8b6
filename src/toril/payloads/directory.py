"""A payload store in a folder. Files are written under a draft name, synced, then renamed."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from pathlib import Path

from toril.model.ids import new_id

_NO_LINKS = getattr(os, "O_NOFOLLOW", 0)
_BINARY = getattr(os, "O_BINARY", 0)
_PRIVATE = 0o700


class Directory:
    """A folder on this machine, or a mounted one.

    Attributes:
        location: The folder's URL.
    """

    def __init__(self, root: Path) -> None:
        """Use a folder, which is created when the first payload is written.

        Args:
            root: The folder.
        """
        self._root = root.absolute()
        self.location = self._root.as_uri()

    def describe(self, error: Exception) -> str:
        """Return an error as text."""
        return f"{type(error).__name__}: {error}"

    def write(self, path: str, content: bytes) -> None:
        """Write a file and flush it to disk; if that fails, leave no file behind."""
        if not self._root.is_dir():
            self._root.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)
            _sync(self._root.parent)
        mode = self._mode()
        target = self._root / path
        for folder in (target.parent.parent, target.parent):
            _make(folder, mode)
        draft = target.with_name(f".{new_id()}")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_LINKS | _BINARY
        try:
            with open(os.open(draft, flags, 0o600), "wb") as file:  # noqa: PTH123 - a descriptor
                if mode != _PRIVATE:
                    draft.chmod(mode & 0o666)
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

    def _mode(self) -> int:
        """Return the permissions for folders: those of the root, if others may write to it."""
        root = stat.S_IMODE(self._root.stat().st_mode)
        group = stat.S_IRWXG if root & stat.S_IWGRP else 0
        others = stat.S_IRWXO if root & stat.S_IWOTH else 0
        return _PRIVATE | group | others

    def read(self, path: str, most: int) -> bytes:
        """Return a file's first bytes.

        Args:
            path: The path relative to the folder.
            most: The maximum number of bytes.

        Raises:
            FileNotFoundError: The file does not exist, but the folder is not empty.
            OSError: The file cannot be read, or the folder is missing or empty, as if its disk
                were not mounted.
        """
        try:
            descriptor = os.open(self._root / path, os.O_RDONLY | _NO_LINKS | _BINARY)
        except FileNotFoundError:
            if not self._root.is_dir() or not any(self._root.iterdir()):
                raise OSError("the folder is missing or empty; is its disk mounted?") from None
            raise
        with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor
            return file.read(most)

    def folders(self) -> list[str]:
        """Return the names of the subfolders."""
        if not self._root.is_dir():
            return []
        return [found.name for found in os.scandir(self._root) if found.is_dir()]

    def remove(self, folder: str) -> int:
        """Remove a subfolder; return how many payloads it contained."""
        target = self._root / folder
        count = sum(1 for file in target.glob("*/[!.]*"))
        shutil.rmtree(target)
        return count


def _make(folder: Path, mode: int) -> None:
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=_PRIVATE)
        if mode != _PRIVATE:
            folder.chmod(mode)


def _sync(folder: Path) -> None:
    """Flush a folder's entries to disk, on systems where syncing its files does not do so."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
