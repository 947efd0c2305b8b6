"""Wakes waiters: coroutines of this process, and other processes that use the file.

SQLite does not notify anyone when a file changes. So each process that waits binds a datagram
socket in a folder next to the file, and each process that commits something others may wait for
sends a few bytes to every socket there. This avoids polling; see
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
"""How long a waiter waits before it checks again: a datagram may be lost if a buffer is full."""

_POLL_SECONDS = 0.02
"""The same, on systems without datagram sockets in the file system."""

_MAX_ADDRESS = 100  # bytes; sockaddr_un has room for 108 on Linux and 104 elsewhere
_MAX_MESSAGE = 65_536
_BIND_TRIES = 3
_END_SECONDS = 1.0


class Topic(StrEnum):
    """What a waiter can wait for."""

    WORK = "work"
    EVENT = "event"


_Key: TypeAlias = tuple[Topic, QueueRef]
_Waiter: TypeAlias = tuple[asyncio.AbstractEventLoop, "asyncio.Future[None]"]


class Wake:
    """The wake-ups of one store: `notify` after a commit, `wait` when idle."""

    def __init__(self, path: str | None) -> None:
        """Create the wake-ups without touching the disk.

        Args:
            path: The store's file; None if no other process can use the store.
        """
        self._folder = None if path is None else _folder_for(path)
        self._lock = threading.Lock()
        self._generations: defaultdict[_Key, int] = defaultdict(int)
        self._waiters: defaultdict[_Key, dict[_Waiter, None]] = defaultdict(dict)
        self._sockets: dict[Topic, tuple[socket.socket, Path]] = {}
        self._sender: socket.socket | None = None
        self._longest = SAFETY_SECONDS
        self._threads: list[threading.Thread] = []
        self._closed = False

    @property
    def lost_after(self) -> float | None:
        """Seconds after which to check for lost wake-ups; None if none can be lost."""
        return None if self._folder is None else self._longest

    def token(self, topic: Topic, queue: QueueRef) -> WakeToken:
        """Return a token that changes with each wake-up; take it before checking for work."""
        if topic not in self._sockets and self._folder is not None:
            self._listen(topic)
        return WakeToken(self._generations[topic, queue])

    async def wait(
        self, topic: Topic, tokens: Mapping[QueueRef, WakeToken], timeout: float | None
    ) -> None:
        """Wait for the next wake-up in any of some queues, or until a timeout.

        Args:
            topic: The topic.
            tokens: The queues, each with its token from before the last check.
            timeout: The timeout in seconds; None waits forever. A wake-up may be lost; see
                `lost_after`.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        waiter = (loop, future)
        keys = [(topic, queue) for queue in tokens]
        with self._lock:
            if self._closed or any(
                self._generations[topic, q] != token for q, token in tokens.items()
            ):
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

    def notify(self, topic: Topic, queues: Iterable[QueueRef]) -> None:
        """Wake all waiters for a topic in some queues, in this and in other processes."""
        names = list(queues)
        if not names:
            return
        self.notify_local(topic, names)
        if self._folder is not None:
            self._notify_others(topic, "\n".join(f"{q.prefix}:{q.name}" for q in names).encode())

    def close(self) -> None:
        """Stop listening and release all waiters."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            keys = list(self._waiters)
            addresses = [address for _, address in self._sockets.values()]
            self._sockets.clear()
        for topic, queue in keys:
            self.notify_local(topic, [queue])
        for address in addresses:
            self._send(os.fspath(address), b"")  # ends the listener's recv()
            address.unlink(missing_ok=True)
        for thread in self._threads:
            thread.join(_END_SECONDS)
        for topic in Topic if addresses else ():
            self._notify_others(topic, b"")  # removes the sockets of dead processes
        if self._sender is not None:
            self._sender.close()
        if self._folder is not None:
            with contextlib.suppress(OSError):  # another process still listens there
                self._folder.rmdir()

    def leave_to_parent(self) -> None:
        """Close the copies of the sockets in a forked child; the parent goes on using its own."""
        for listener, _ in self._sockets.values():
            listener.close()
        if self._sender is not None:
            self._sender.close()

    def notify_local(self, topic: Topic, queues: Iterable[QueueRef]) -> None:
        """Wake this process's waiters for a topic in some queues."""
        with self._lock:
            waiting: list[_Waiter] = []
            for queue in queues:
                self._generations[topic, queue] += 1
                waiting += self._waiters.pop((topic, queue), ())
        for loop, future in waiting:
            with contextlib.suppress(RuntimeError):  # its loop has been closed
                loop.call_soon_threadsafe(_finish, future)

    def _notify_others(self, topic: Topic, message: bytes) -> None:
        own = self._sockets.get(topic)
        if self._folder is None or not _is_own(self._folder):  # no process has ever waited
            return
        try:
            entries = list(os.scandir(self._folder))
        except OSError:
            return
        for entry in entries:
            if entry.name.startswith(topic) and (own is None or entry.name != own[1].name):
                self._send(entry.path, message)

    def _send(self, address: str, message: bytes) -> None:
        try:
            if self._sender is None:
                self._sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
                self._sender.settimeout(0)
            self._sender.sendto(message, address)
        except ConnectionRefusedError:  # the process died without removing its socket
            if Path(address).is_socket():
                Path(address).unlink(missing_ok=True)
        except OSError:  # the socket is gone, its buffer is full, or there are no more files here:
            return  # its process wakes anyway

    def _listen(self, topic: Topic) -> None:
        with self._lock:
            if topic in self._sockets or self._closed or self._folder is None:
                return
            found = _bind(self._folder, topic)
            if found is None:  # no datagram sockets here: poll instead
                self._longest = _POLL_SECONDS
                return
            listener, address = found
            name = f"toril-wake-{topic}"
            thread = threading.Thread(
                target=self._receive, args=(topic, listener), name=name, daemon=True
            )
            try:
                thread.start()
            except RuntimeError:  # the system has no more threads: poll instead
                listener.close()
                address.unlink(missing_ok=True)
                self._longest = _POLL_SECONDS
                return
            self._sockets[topic] = found
            self._threads.append(thread)
            self._longest = SAFETY_SECONDS

    def _receive(self, topic: Topic, listener: socket.socket) -> None:
        with listener:
            while not self._closed:
                try:
                    message = listener.recv(_MAX_MESSAGE)
                except OSError:
                    return
                names = [line.partition(":") for line in message.decode().splitlines()]
                self.notify_local(topic, [QueueRef(prefix, name) for prefix, _, name in names])


def _bind(folder: Path, topic: Topic) -> tuple[socket.socket, Path] | None:
    """Bind a socket in a folder and return it with its address; None if that is impossible."""
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
    """Return whether a path is a folder, not a link, and in /tmp also owned by this user."""
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
    """Return the folder for sockets: next to the file, or in /tmp if that path is too long."""
    beside = Path(f"{path}-wake")
    if len(os.fsencode(beside)) + 30 <= _MAX_ADDRESS:
        return beside
    digest = hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"toril-wake-{digest}"
