"""Waking who waits: other coroutines of this process, and other processes on the file.

SQLite tells nobody that a file has changed. So each process that waits binds a datagram
socket in a folder beside the file, and each process that has committed something others
may wait for sends a few bytes to every socket there. Nobody polls; see
docs/adr/0004-wake-up-by-datagram.md.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import socket
import stat
import tempfile
import threading
from collections import defaultdict
from collections.abc import Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import TypeAlias

from toril.engine.contract.hot_path import WakeToken
from toril.model.ids import new_id
from toril.model.job import QueueRef

SAFETY_SECONDS = 5.0
"""A datagram may be lost when a buffer is full: whoever waits looks again after this time."""

_POLL_SECONDS = 0.02
"""The same where the system has no datagram sockets in the file system."""

_MAX_ADDRESS = 100  # bytes; sockaddr_un has room for 108 on Linux and 104 elsewhere
_MAX_MESSAGE = 65_536
_BIND_TRIES = 3
_END_SECONDS = 1.0


class Topic(StrEnum):
    """What somebody can wait for."""

    WORK = "work"
    EVENT = "event"


_Key: TypeAlias = tuple[Topic, QueueRef]
_Waiter: TypeAlias = tuple[asyncio.AbstractEventLoop, "asyncio.Future[None]"]


class Wake:
    """The bell of one store: ring it after a commit, wait for it when idle."""

    def __init__(self, path: str | None) -> None:
        """Prepare, without touching the disk.

        Args:
            path: The store's file; None where no other process can be on it.
        """
        self._folder = None if path is None else _folder_for(path)
        self._lock = threading.Lock()
        self._rings: defaultdict[_Key, int] = defaultdict(int)
        self._waiters: defaultdict[_Key, dict[_Waiter, None]] = defaultdict(dict)
        self._sockets: dict[Topic, tuple[socket.socket, Path]] = {}
        self._sender: socket.socket | None = None
        self._longest = SAFETY_SECONDS
        self._threads: list[threading.Thread] = []
        self._closed = False

    @property
    def lost_after(self) -> float | None:
        """Seconds after which to look for what no ring told of; None if no ring can be lost."""
        return None if self._folder is None else self._longest

    def token(self, topic: Topic, queue: QueueRef) -> WakeToken:
        """Return a token that changes with each ring; take it before looking for work."""
        if topic not in self._sockets and self._folder is not None:
            self._listen(topic)
        return WakeToken(self._rings[topic, queue])

    async def wait(
        self, topic: Topic, tokens: Mapping[QueueRef, WakeToken], timeout: float | None
    ) -> None:
        """Return at the next ring in any of some queues, or after a timeout.

        Args:
            topic: What is waited for.
            tokens: The queues, each with its token from before the last look.
            timeout: In seconds; None is without end. A ring may be lost: see `lost_after`.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        waiter = (loop, future)
        keys = [(topic, queue) for queue in tokens]
        with self._lock:
            if self._closed or any(self._rings[topic, q] != token for q, token in tokens.items()):
                return
            for key in keys:
                self._waiters[key][waiter] = None
        timer = None if timeout is None else loop.call_later(max(timeout, 0), _finish, future)
        try:
            await future
        finally:
            if timer is not None:
                timer.cancel()
            with self._lock:
                for key in keys:
                    if key in self._waiters:
                        self._waiters[key].pop(waiter, None)

    def ring(self, topic: Topic, queues: Iterable[QueueRef]) -> None:
        """Wake everybody who waits for a topic in some queues, here and elsewhere."""
        names = list(queues)
        if not names:
            return
        self.ring_here(topic, names)
        if self._folder is not None:
            self._ring_elsewhere(topic, "\n".join(f"{q.prefix}:{q.name}" for q in names).encode())

    def close(self) -> None:
        """Stop listening and let everybody go who waits."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            keys = list(self._waiters)
            addresses = [address for _, address in self._sockets.values()]
            self._sockets.clear()
        for topic, queue in keys:
            self.ring_here(topic, [queue])
        for address in addresses:
            self._send(os.fspath(address), b"")  # ends the listener's recv()
            address.unlink(missing_ok=True)
        for thread in self._threads:
            thread.join(_END_SECONDS)
        for topic in Topic if addresses else ():
            self._ring_elsewhere(topic, b"")  # clears away the sockets of the dead
        if self._sender is not None:
            self._sender.close()
        if self._folder is not None:
            with contextlib.suppress(OSError):  # another process listens there still
                self._folder.rmdir()

    def ring_here(self, topic: Topic, queues: Iterable[QueueRef]) -> None:
        """Wake everybody in this process who waits for a topic in some queues."""
        with self._lock:
            waiting: list[_Waiter] = []
            for queue in queues:
                self._rings[topic, queue] += 1
                waiting += self._waiters.pop((topic, queue), ())
        for loop, future in waiting:
            with contextlib.suppress(RuntimeError):  # its loop has been closed
                loop.call_soon_threadsafe(_finish, future)

    def _ring_elsewhere(self, topic: Topic, message: bytes) -> None:
        own = self._sockets.get(topic)
        if self._folder is None or not _is_own(self._folder):  # nobody has ever waited
            return
        try:
            entries = list(os.scandir(self._folder))
        except OSError:
            return
        for entry in entries:
            if entry.name.startswith(topic) and (own is None or entry.name != own[1].name):
                self._send(entry.path, message)

    def _send(self, address: str, message: bytes) -> None:
        if self._sender is None:
            self._sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._sender.settimeout(0)
        try:
            self._sender.sendto(message, address)
        except ConnectionRefusedError:  # its process died without unlinking it
            if Path(address).is_socket():
                Path(address).unlink(missing_ok=True)
        except OSError:  # gone meanwhile, or its buffer is full and it will wake anyway
            return

    def _listen(self, topic: Topic) -> None:
        with self._lock:
            if topic in self._sockets or self._closed or self._folder is None:
                return
            found = _bind(self._folder, topic)
            if found is None:  # no such sockets here: look again and again
                self._longest = _POLL_SECONDS
                return
            self._sockets[topic] = found
            listener, _ = found
        thread = threading.Thread(
            target=self._hear, args=(topic, listener), name=f"toril-wake-{topic}", daemon=True
        )
        self._threads.append(thread)
        thread.start()

    def _hear(self, topic: Topic, listener: socket.socket) -> None:
        with listener:
            while not self._closed:
                try:
                    message = listener.recv(_MAX_MESSAGE)
                except OSError:
                    return
                names = [line.partition(":") for line in message.decode().splitlines()]
                self.ring_here(topic, [QueueRef(prefix, name) for prefix, _, name in names])


def _bind(folder: Path, topic: Topic) -> tuple[socket.socket, Path] | None:
    """Return a socket and its address in a folder; None where there can be none."""
    for _ in range(_BIND_TRIES):  # another process may remove the folder as it closes
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
            if not _is_own(folder):
                return None
            address = folder / f"{topic}-{os.getpid()}-{new_id()[-8:]}"
            listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        except (OSError, AttributeError):
            return None
        try:
            listener.bind(os.fspath(address))
        except FileNotFoundError:
            listener.close()
        except OSError:
            listener.close()
            return None
        else:
            return listener, address
    return None


def _is_own(folder: Path) -> bool:
    """Whether a folder is one and no link, and ours where anybody could have made it."""
    try:
        found = folder.lstat()
    except OSError:
        return False
    shared = folder.parent == Path(tempfile.gettempdir())
    return stat.S_ISDIR(found.st_mode) and (not shared or found.st_uid == os.geteuid())


def _finish(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _folder_for(path: str) -> Path:
    """Return where the sockets are: beside the file, or in /tmp where its path is too long."""
    beside = Path(f"{path}-wake")
    if len(os.fsencode(beside)) + 30 <= _MAX_ADDRESS:
        return beside
    digest = hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"toril-wake-{digest}"
