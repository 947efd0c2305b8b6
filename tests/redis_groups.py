"""Several real Redis servers that belong together: watched by Sentinels, or a cluster."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.redis_server import PATIENCE, RedisServer, free_port

SERVICE = "jobs"
_SLOTS = 16_384
_NODES = 3
_FIRST_PORT, _LAST_PORT = 20_000, 30_000
_BUS = 10_000  # how far a node's bus is from its port


def wait_for(what: str, holds: Callable[[], bool], patience: float = PATIENCE) -> None:
    give_up = time.monotonic() + patience
    while not holds():
        assert time.monotonic() < give_up, f"in vain: {what}"
        time.sleep(0.02)


def node_port() -> int:
    """Return a free port whose bus port is free as well."""
    while True:
        port = _FIRST_PORT + free_port() % (_LAST_PORT - _FIRST_PORT)
        with contextlib.suppress(OSError), socket.socket() as one, socket.socket() as other:
            one.bind(("127.0.0.1", port))
            other.bind(("127.0.0.1", port + _BUS))
            return port


class WatchedServers:
    """A master, a replica, and three Sentinels.

    Attributes:
        master: The first master.
        replica: The first replica.
        sentinels: Those who watch.
        url: All of it.
    """

    def __init__(self, folder: Path, *, options: Sequence[str] = (), movable_clock: bool = False):
        options = [*options, "--repl-diskless-sync-delay", "0"]
        self.master = _server(folder / "master", options, movable_clock=movable_clock)
        self.replica = _server(
            folder / "replica",
            [*options, "--replicaof", "127.0.0.1", str(self.master.port)],
            clock_of=self.master if movable_clock else None,
        )
        self._folder = folder
        self.sentinels: list[RedisServer] = []
        self.url = ""

    def start(self) -> None:
        self.master.start()
        self.replica.start()
        wait_for("the replica", lambda: "state=online" in self.master.ask("INFO", "replication"))
        for number in range(3):
            self.sentinels.append(self._sentinel(self._folder / f"sentinel-{number}"))
        hosts = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)
        self.url = f"redis+sentinel://{hosts}/{SERVICE}"
        for sentinel in self.sentinels:
            wait_for("a Sentinel to know all", lambda one=sentinel: _knows_all(one))

    def _sentinel(self, folder: Path) -> RedisServer:
        folder.mkdir()
        config = folder / "sentinel.conf"
        config.write_text(
            f"sentinel monitor {SERVICE} 127.0.0.1 {self.master.port} 2\n"
            f"sentinel down-after-milliseconds {SERVICE} 500\n"
            f"sentinel failover-timeout {SERVICE} 3000\n"
        )
        made = RedisServer(folder, config=config, options=["--sentinel"])
        made.start()
        return made

    @property
    def masters(self) -> list[RedisServer]:
        return [self.master]

    def pass_time(self, ms: int) -> None:
        self.master.pass_time(ms)

    def stop(self) -> None:
        for server in (*self.sentinels, self.replica, self.master):
            server.stop()


def _server(folder: Path, options: Sequence[str], **how: object) -> RedisServer:
    folder.mkdir()
    return RedisServer(folder, options=options, **how)


def _knows_all(sentinel: RedisServer) -> bool:
    fields = sentinel.ask("SENTINEL", "MASTER", SERVICE).splitlines()
    known = dict(zip(fields[::2], fields[1::2], strict=True))
    return (known["num-slaves"], known["num-other-sentinels"]) == ("1", "2")


class Cluster:
    """Three masters, each with a third of the slots.

    Attributes:
        nodes: The masters.
        url: All of it.
    """

    def __init__(self, folder: Path, *, options: Sequence[str] = (), movable_clock: bool = False):
        self.nodes: list[RedisServer] = []
        # A clock that jumps must make no node take another one for dead.
        patience = 3_600_000 if movable_clock else 2_000
        options = [*options, "--cluster-enabled", "yes", "--cluster-node-timeout", str(patience)]
        for number in range(_NODES):
            first = self.nodes[0] if self.nodes else None
            own = folder / f"node-{number}"
            own.mkdir()
            self.nodes.append(
                RedisServer(
                    own,
                    options=options,
                    port=node_port(),
                    movable_clock=movable_clock,
                    clock_of=first if movable_clock else None,
                )
            )
        hosts = ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)
        self.url = f"redis+cluster://{hosts}"
        self._movable_clock = movable_clock

    def start(self) -> None:
        for number, node in enumerate(self.nodes):
            node.start()
            first, last = (-(-_SLOTS * n // _NODES) for n in (number, number + 1))
            node.ask("CLUSTER", "ADDSLOTSRANGE", first, last - 1)
            node.ask("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            for other in self.nodes[:number]:
                node.ask("CLUSTER", "MEET", "127.0.0.1", other.port)
        self.wait_until_whole()

    def wait_until_whole(self) -> None:
        wait_for("the cluster to be whole", lambda: all(map(self._is_ok, self.nodes)))

    def _is_ok(self, node: RedisServer) -> bool:
        if self._movable_clock:  # in which the nodes let two seconds pass before they take writes
            self.pass_time(100)
        told = node.ask("CLUSTER", "INFO")
        return "cluster_state:ok" in told and f"cluster_known_nodes:{_NODES}" in told

    @property
    def masters(self) -> list[RedisServer]:
        return self.nodes

    def pass_time(self, ms: int) -> None:
        self.nodes[0].pass_time(ms)

    def owner(self, slot: int) -> RedisServer:
        """Return the node that has a slot, as the first one sees it."""
        ports = {node.port: node for node in self.nodes}
        for line in self.nodes[0].ask("CLUSTER", "NODES").splitlines():
            _, address, _, _, _, _, _, _, *ranges = line.split()
            for one in ranges:
                first, _, last = one.partition("-")
                if not one.startswith("[") and int(first) <= slot <= int(last or first):
                    return ports[int(address.partition("@")[0].rpartition(":")[2])]
        raise AssertionError(f"nobody has slot {slot}")

    def stop(self) -> None:
        for node in self.nodes:
            node.stop()
