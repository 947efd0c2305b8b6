"""The wake folder of a store, and the sockets in it on which processes are woken."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import stat
from collections.abc import Sequence
from pathlib import Path

from toril.engine.sqlite.storage.topic import Topic
from toril.model.ids import new_id

_logger = logging.getLogger("toril.engine")

MAX_MESSAGE = 60_000  # bytes
_BIND_TRIES = 3
_CHECK_SECONDS = 0.5
"""How often a listener looks whether its socket is still in its place."""

_PRIVATE = 0o700
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_WRITE = stat.S_IWGRP | stat.S_IWOTH


class Bell:
    """A bound socket.

    Attributes:
        address: Its path.
    """

    def __init__(self, address: Path, listener: socket.socket) -> None:
        """Use a socket that is bound.

        Args:
            address: Its path.
            listener: The socket.
        """
        self.address = address
        self._listener = listener
        found = address.lstat()
        self._identity = found.st_dev, found.st_ino
        listener.settimeout(_CHECK_SECONDS)

    def receive(self) -> bytes | None:
        """Wait for a message, and return it; None if none has come for a while.

        Raises:
            OSError: The socket does not work any more.
        """
        try:
            return self._listener.recv(MAX_MESSAGE + 1)
        except TimeoutError:
            return None

    def is_in_place(self) -> bool:
        """Return whether others can still reach the socket at its path."""
        try:
            found = self.address.lstat()
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == self._identity

    def leave_to_parent(self) -> None:
        """Close this process's copy of the socket, in a forked child."""
        self._listener.close()

    def close(self) -> None:
        """Close the socket, and remove it if it is in its place."""
        if self.is_in_place():
            with contextlib.suppress(OSError):
                self.address.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self._listener.close()


class WakeFolder:
    """The folder for the sockets of a store.

    Its permissions are those of the store's file. A folder that another user may have created is
    not used, because that user could keep processes from being woken.

    Attributes:
        path: The folder.
    """

    def __init__(self, path: Path, store: str) -> None:
        """Name the folder, without creating it.

        Args:
            path: The folder.
            store: The store's file.
        """
        self.path = path
        self._store = Path(store)
        self._file: os.stat_result | None = None
        self._has_warned = False

    def __str__(self) -> str:
        return str(self.path)

    def bind(self, topic: Topic) -> Bell | None:
        """Bind a socket, creating the folder if it does not exist; None if that is impossible."""
        for _ in range(_BIND_TRIES):  # another process may remove the folder as it closes
            try:
                self._make()
                if not self.is_trusted():
                    return None
                address = self.path / f"{topic}-{os.getpid()}-{new_id()[-8:]}"
                return self._bound(address)
            except FileNotFoundError:
                continue
            except (OSError, AttributeError):  # no datagram sockets here
                return None
        return None

    def _make(self) -> None:
        self._file = None  # its permissions may have changed
        mode = self._mode()
        with contextlib.suppress(FileExistsError):
            self.path.mkdir(mode=_PRIVATE)
            if mode != _PRIVATE:
                self.path.chmod(mode)

    def _bound(self, address: Path) -> Bell:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            listener.bind(os.fspath(address))
            address.chmod(self._mode())
            return Bell(address, listener)
        except OSError:
            listener.close()
            raise

    def _mode(self) -> int:
        """Return the permissions for the folder: those of the file, to which it belongs."""
        file = stat.S_IMODE(self._owner().st_mode) & _OTHERS
        return _PRIVATE | file | (file & 0o044) >> 2  # who may read may also enter

    def _owner(self) -> os.stat_result:
        if self._file is None:
            self._file = self._store.stat()
        return self._file

    def is_trusted(self) -> bool:
        """Return whether the folder exists and belongs to the store, not to somebody else."""
        try:
            found, file = self.path.lstat(), self._owner()
        except OSError:
            return False
        if os.name == "nt":
            return stat.S_ISDIR(found.st_mode)
        if (
            stat.S_ISDIR(found.st_mode)
            and found.st_uid in {os.geteuid(), file.st_uid, 0}
            and not found.st_mode & ~file.st_mode & _WRITE
        ):
            return True
        if not self._has_warned:
            self._has_warned = True
            _logger.warning(
                "%s is not used, because it is not a folder of this user or the store's owner that "
                "nobody else can write to. Until it is removed, processes look for jobs fifty "
                "times a second instead of being woken",
                self.path,
            )
        return False

    def names(self) -> Sequence[str]:
        """Return the names of the sockets."""
        try:
            return os.listdir(self.path)  # noqa: PTH208 - on the hot path
        except OSError:
            return ()

    def remove_if_empty(self) -> None:
        """Remove the folder, unless another process still listens there or it is not trusted."""
        if self.is_trusted():
            with contextlib.suppress(OSError):
                self.path.rmdir()
