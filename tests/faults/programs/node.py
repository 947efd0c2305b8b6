"""What the Node.js program is told, which works with BullMQ (tests/interop/node/faults.js)."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec

PROGRAM = Path(__file__).parents[2] / "interop" / "node" / "faults.js"


class NodeConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What it is told on its command line.

    Attributes:
        port: The server's.
        queue: The queue's name.
        work: How many jobs it runs at once; 0 makes it a producer.
        lock_ms: How long a worker holds a job without renewing that.
        name: What a producer's ids begin with.
        bulk: How many jobs go in one `addBulk`; 1 is single adds.
        pause_ms: The longest random pause between two adds.
        ms: What its jobs are to take.
    """

    port: int
    queue: str
    work: int = 0
    lock_ms: int = 3000
    name: str = "node"
    bulk: int = 1
    pause_ms: float = 0
    ms: int = 0


def command() -> tuple[str, str]:
    """Return how to start the program."""
    node = shutil.which("node")
    if node is None or not (PROGRAM.parent / "node_modules").exists():
        raise RuntimeError("BullMQ for Node.js is missing: make test-tools installs it")
    return node, str(PROGRAM)
