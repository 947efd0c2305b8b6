"""Celery's worker: `python -m benchmarks.peers.celery_worker PORT SLOTS FILE`.

Each run adds one line to the file, of whichever process of the pool: the payload, and the monotonic
time, which all processes of a machine share.
"""

import os
import sys
from time import monotonic

from benchmarks.peers.celery_app import make

LINE_BYTES = 32


def main(port: str, slots: str, file: str) -> None:
    """Work until a signal ends it."""
    log = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def noop(payload: str) -> None:
        os.write(log, f"{payload} {monotonic():020.9f}\n".encode())

    app, _ = make(int(port), noop)
    # One slot is served best without a pool, and more by processes; threads were the slowest.
    pool = ["--pool", "solo" if slots == "1" else "prefork", "--concurrency", slots]
    alone = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    app.worker_main(["--quiet", "worker", *pool, *alone, "--loglevel", "ERROR"])


if __name__ == "__main__":
    main(*sys.argv[1:])
