"""The demo's summary: a table for people, a file for programs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import msgspec

from toril.cli.console import print_facts, print_table
from toril.cli.demo.jobs import FILE_JOB, PARTIAL
from toril.model.job import Job
from toril.model.state import JobState
from toril.queues.queue import Queue

_MIB = 1 << 20


class Summary(msgspec.Struct, frozen=True):
    """The demo's summary.

    Attributes:
        jobs: The number of jobs.
        completed: How many jobs completed.
        failed: The jobs that failed, and why.
        retried: How many failed attempts were retried.
        seconds: How long this run took.
        throughput: Jobs per second in this run.
        wait_ms: The time from adding a job to starting it, in milliseconds: p50 and p99.
        run_ms: The time from starting a job to finishing it, in milliseconds: p50 and p99.
        bytes_in: The total size of the files.
        bytes_out: The total size of the copies.
        lines: The total number of lines.
        files: The results of the jobs, one per file.
    """

    jobs: int
    completed: int
    failed: list[dict[str, str]]
    retried: int
    seconds: float
    throughput: float
    wait_ms: dict[str, float]
    run_ms: dict[str, float]
    bytes_in: int
    bytes_out: int
    lines: int
    files: list[dict[str, Any]]


def remove_partial_copies(folder: Path) -> None:
    """Remove the incomplete copies that killed processes left.

    Args:
        folder: The folder of the copies.
    """
    for partial in folder.rglob(f".*{PARTIAL}"):
        partial.unlink(missing_ok=True)


async def summarize(queue: Queue, seconds: float, ended: int) -> Summary:
    """Compute the summary from the jobs in the store.

    Args:
        queue: The demo's queue.
        seconds: How long this run took.
        ended: How many jobs finished in this run.
    """
    jobs = [job async for job in queue.each()]
    done = [job for job in jobs if job.state is JobState.COMPLETED]
    files = [job.result for job in done if job.name == FILE_JOB]
    return Summary(
        jobs=len(jobs),
        completed=len(done),
        failed=[_failure(job) for job in jobs if job.state is JobState.FAILED],
        retried=sum(len(job.errors) - (job.state is JobState.FAILED) for job in jobs),
        seconds=round(seconds, 2),
        throughput=round(ended / seconds, 1) if seconds else 0.0,
        wait_ms=_percentiles([_between(job.created_ms, job.started_ms) for job in done]),
        run_ms=_percentiles([_between(job.started_ms, job.finished_ms) for job in done]),
        bytes_in=sum(file["size"] for file in files),
        bytes_out=sum(file["compressed"] for file in files),
        lines=sum(file["lines"] for file in files),
        files=files,
    )


def _failure(job: Job) -> dict[str, str]:
    last = job.errors[-1]
    return {
        "id": job.id,
        "what": str(job.data.get("source", job.name)),
        "attempts": f"{job.attempts_made} of {job.options.attempts}",
        "why": f"{last.type}: {last.message}",
    }


def _between(start: int | None, end: int | None) -> int:
    return 0 if start is None or end is None else end - start


def _percentiles(values: list[int]) -> dict[str, float]:
    if not values:
        return {}
    ordered = sorted(values)
    last = len(ordered) - 1
    return {name: float(ordered[round(share * last)]) for name, share in _SHARES}


_SHARES = (("p50", 0.50), ("p99", 0.99))


def show(summary: Summary, file: Path) -> None:
    """Print the summary, and write it to a file.

    Args:
        summary: The summary.
        file: The path of the file.
    """
    partial = file.with_suffix(PARTIAL)
    partial.write_bytes(msgspec.json.format(msgspec.json.encode(summary), indent=2) + b"\n")
    partial.replace(file)
    print_facts(
        [
            ("jobs", f"{summary.completed:,} of {summary.jobs:,} completed"),
            ("attempts retried", summary.retried),
            ("failed for good", len(summary.failed)),
            ("this run", f"{summary.seconds:g} s, {summary.throughput:g} jobs/s"),
            ("waiting time", _spread(summary.wait_ms)),
            ("running time", _spread(summary.run_ms)),
            ("read", f"{summary.bytes_in / _MIB:.1f} MiB, {summary.lines:,} lines"),
            ("compressed to", f"{summary.bytes_out / _MIB:.1f} MiB"),
            ("summary", str(file)),
        ]
    )
    click.echo()
    print_table(
        ["failed job", "attempts", "error"],
        ((f["what"], f["attempts"], f["why"]) for f in summary.failed),
        empty="nothing failed",
    )


def _spread(values: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:g} ms" for name, value in values.items())
