"""The demo's jobs, written as in a first application."""

from __future__ import annotations

import hashlib
import os
from gzip import GzipFile
from typing import Any

from toril.application.manager import QueueManager
from toril.cli.demo.paths import from_text
from toril.model.options import Backoff
from toril.queues.context import JobContext
from toril.queues.queue import Queue

QUEUE = "toril-demo"
FILE_JOB = "compress-file"
CALL_JOB = "call-service"
PARTIAL = ".part"
_BLOCK = 1 << 20
_CALLS_THAT_FAIL = 2


def compress_file(source: str, target: str) -> dict[str, Any]:
    """Write a compressed copy of a file. It keeps a CPU busy, so it runs in a process.

    Args:
        source: The path of the file.
        target: The path of the compressed copy.

    Returns:
        The file's size, number of lines and checksum, and the size of the copy.
    """
    digest, size, lines = hashlib.sha256(), 0, 0
    finished = from_text(target)
    # A killed process must not leave an incomplete copy, or damage another process's file.
    partial = finished.with_name(f".{os.getpid()}{PARTIAL}")
    with from_text(source).open("rb") as plain:
        finished.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as copy, GzipFile("", "wb", 6, copy, mtime=0) as compressed:
            while block := plain.read(_BLOCK):
                digest.update(block)
                size += len(block)
                lines += block.count(b"\n")
                compressed.write(block)
    partial.replace(finished)
    return {
        "source": source,
        "target": target,
        "size": size,
        "lines": lines,
        "sha256": digest.hexdigest(),
        "compressed": finished.stat().st_size,
    }


async def call_service(job: JobContext, service: str) -> str:
    """Simulate a call to a service that is down at first; the third attempt succeeds.

    Args:
        job: The job's context.
        service: The name of the service.

    Raises:
        ConnectionError: This is one of the first two attempts.
    """
    job.log(f"attempt {job.attempt} of {job.attempts}")
    if job.attempt <= _CALLS_THAT_FAIL:
        raise ConnectionError(f"{service} does not answer")
    return f"{service} answered on attempt {job.attempt}"


def register(manager: QueueManager) -> Queue:
    """Register the demo's queue and its tasks.

    Args:
        manager: The manager.
    """
    queue = manager.register_queue(QUEUE)
    pause = Backoff.fixed("300ms")
    queue.task(FILE_JOB, run_in="process", attempts=2, backoff=pause)(compress_file)
    queue.task(CALL_JOB, attempts=3, backoff=Backoff.exponential("200ms"))(call_service)
    return queue
