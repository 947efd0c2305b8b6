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
import logging
import os
import socket
import tempfile
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import msgspec

from toril.engine.contract.hot_path import WakeToken
from toril.engine.sqlite.storage.topic import Topic
from toril.engine.sqlite.storage.wake_folder import MAX_MESSAGE, Bell, WakeFolder
from toril.model.job import QueueRef

SAFETY_SECONDS = 5.0
"""How long a waiter waits before it checks again: a datagram may be lost if a buffer is full."""

_POLL_SECONDS = 0.02
"""The same, on systems without datagram sockets in the file system."""

_RETRY_SECONDS = 0.2  # between two attempts to bind
_MAX_ADDRESS = 100  # bytes; sockaddr_un has room for 108 on Linux and 104 elsewhere
_END_SECONDS = 1.0

_decode = msgspec.json.Decoder(tuple[str, str]).decode

_logger = logging.getLogger("toril.engine")

_Key: TypeAlias = tuple[Topic, QueueRef]
_Waiter: TypeAlias = tuple[asyncio.AbstractEventLoop, "asyncio.Future[None]"]


class Wake:
    """The wake-ups of one store: `notify` after a commit, `wait` when idle."""

    def __init__(self, path: str | None) -> None:
        """Create the wake-ups without touching the disk.

        Args:
            path: The store's file; None if no other process can use the store.
        """
        self._folder = None if path is None else WakeFolder(_folder_for(path), path)
        self._lock = threading.Lock()
        self._generations: defaultdict[_Key, int] = defaultdict(int)
        self._waiters: defaultdict[_Key, dict[_Waiter, None]] = defaultdict(dict)
        self._bells: dict[Topic, Bell | None] = {}
        self._sender: socket.socket | None = None
        self._longest = SAFETY_SECONDS
        self._threads: list[threading.Thread] = []
        self._ended = threading.Event()

    @property
    def _closed(self) -> bool:
        return self._ended.is_set()

    @property
    def lost_after(self) -> float | None:
        """Seconds after which to check for lost wake-ups; None if none can be lost."""
        return None if self._folder is None else self._longest

    def token(self, topic: Topic, queue: QueueRef) -> WakeToken:
        """Return a token that changes with each wake-up; take it before checking for work."""
        if topic not in self._bells and self._folder is not None:
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
            for message in _messages(names):
                self._notify_others(topic, message)

    def close(self) -> None:
        """Stop listening and release all waiters."""
        with self._lock:
            if self._closed:
                return
            self._ended.set()
            keys = list(self._waiters)
            addresses = [bell.address for bell in self._bells.values() if bell is not None]
        for topic, queue in keys:
            self.notify_local(topic, [queue])
        for address in addresses:
            self._send(os.fspath(address), b"")  # ends the listener's recv()
        for thread in self._threads:
            thread.join(_END_SECONDS)
        for topic in Topic if addresses else ():
            self._notify_others(topic, b"")  # removes the sockets of dead processes
        if self._sender is not None:
            self._sender.close()
        if self._folder is not None:
            self._folder.remove_if_empty()

    def leave_to_parent(self) -> None:
        """Close the copies of the sockets in a forked child; the parent goes on using its own."""
        for bell in self._bells.values():
            if bell is not None:
                bell.leave_to_parent()
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
        if self._folder is None or not self._folder.is_trusted():  # or no process has ever waited
            return
        own = self._bells.get(topic)
        for name in self._folder.names():
            if name.startswith(topic) and (own is None or name != own.address.name):
                self._send(os.fspath(self._folder.path / name), message)

    def _send(self, address: str, message: bytes) -> None:
        try:
            if self._sender is None:
                self._sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
                self._sender.settimeout(0)
            self._sender.sendto(message, address)
        except ConnectionRefusedError:  # the process died without removing its socket
            with contextlib.suppress(OSError):
                if Path(address).is_socket():
                    Path(address).unlink(missing_ok=True)
        except OSError:  # the socket is gone, its buffer is full, or there are no more files here:
            return  # its process wakes anyway

    def _listen(self, topic: Topic) -> None:
        with self._lock:
            if topic in self._bells or self._closed or self._folder is None:
                return
            bell = self._bells[topic] = self._folder.bind(topic)
            if bell is None:  # there can be no socket: poll instead
                self._longest = _POLL_SECONDS
        thread = threading.Thread(
            target=self._receive, args=(topic,), name=f"toril-wake-{topic}", daemon=True
        )
        try:
            thread.start()
        except RuntimeError:  # the system has no more threads: poll instead
            self._close_bell(topic)
            self._bells[topic] = None
            self._longest = _POLL_SECONDS
            return
        self._threads.append(thread)

    def _receive(self, topic: Topic) -> None:
        """Listen until the store is closed, whatever arrives and whatever happens to the folder."""
        while not self._closed:
            bell = self._bells[topic]
            try:
                message = None if bell is None else bell.receive()
            except OSError as error:
                _logger.warning("%s: the socket for wake-ups failed: %s", self._folder, error)
                self._bind_again(topic)
            else:
                self._heard(topic, message)
        self._close_bell(topic)

    def _heard(self, topic: Topic, message: bytes | None) -> None:
        """Wake the waiters that a message names. It may come from any program.

        Args:
            topic: The topic.
            message: The message; None if none came for a while.
        """
        bell = self._bells[topic]
        if message is None:
            if bell is None or not bell.is_in_place():
                self._bind_again(topic)
            return
        names = _queues_in(message)
        self.notify_local(topic, [queue for queue in names if (topic, queue) in self._generations])

    def _bind_again(self, topic: Topic) -> None:
        """Bind another socket, and wake all waiters, because wake-ups may have been lost."""
        self._close_bell(topic)
        if self._folder is None or self._ended.wait(_RETRY_SECONDS):
            return
        before, bell = self._bells[topic], self._folder.bind(topic)
        self._bells[topic] = bell
        if before is bell:  # there still can be no socket
            return
        self._longest = _POLL_SECONDS if bell is None else SAFETY_SECONDS
        with self._lock:
            queues = [queue for kind, queue in self._waiters if kind is topic]
        self.notify_local(topic, queues)

    def _close_bell(self, topic: Topic) -> None:
        bell = self._bells.get(topic)
        if bell is not None:
            bell.close()


def _messages(queues: Sequence[QueueRef]) -> Iterator[bytes]:
    """Yield the names of queues as messages that a socket takes."""
    part: list[bytes] = []
    size = 0
    for queue in queues:
        name = msgspec.json.encode(queue)  # a name may have any character
        if part and size + len(name) >= MAX_MESSAGE:
            yield b"\n".join(part)
            part, size = [], 0
        part.append(name)
        size += len(name) + 1
    yield b"\n".join(part)


def _queues_in(message: bytes) -> list[QueueRef]:
    """Return the queues that a message names; none if it is not a message of Toril's."""
    try:
        return [QueueRef(*_decode(line)) for line in message.splitlines()]
    except (ValueError, TypeError, RecursionError):
        return []


def _folder_for(path: str) -> Path:
    """Return the folder for sockets: next to the file, or in /tmp if that path is too long."""
    beside = Path(f"{path}-wake")
    if len(os.fsencode(beside)) + 30 <= _MAX_ADDRESS:
        return beside
    digest = hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"toril-wake-{digest}"


def _finish(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
