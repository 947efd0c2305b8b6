"""`toril queue`: inspect and control queues."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

import click

from toril.admin.documents import queue_document
from toril.admin.lookup import existing
from toril.cli.console import confirm, counted, print_facts, print_json, print_table, say
from toril.cli.naming import queue_argument
from toril.cli.options import json_option, opened, runs, store_options, yes_option
from toril.errors import ConflictError
from toril.model.durations import DEFAULT_GRACE, to_ms
from toril.model.state import READY, STORED, JobState

_GRACE = f"{to_ms(DEFAULT_GRACE, 'grace') // 3_600_000}h"
_REMOVABLE = sorted(state.value for state in STORED - {JobState.ACTIVE})


@click.group()
def queue() -> None:
    """Inspect and control queues."""


@queue.command("list")
@json_option
@store_options
@runs
async def list_queues(url: str | None, *, as_json: bool) -> None:
    """List all queues.

    Shows job counts, and rates and durations over the last hour.
    """
    async with opened(url) as manager:
        metrics = await manager.get_all_metrics()
        location = manager.engine.location
    if as_json:
        print_json({"queues": metrics})
        return
    columns = ["queue", "!state", "#ready", "#delayed", "#active", "#done", "#failed"]
    print_table(
        [*columns, "#jobs/s", "#errors", "#p95 ms"],
        (
            (
                m.queue if m.prefix == manager.prefix else f"{m.prefix}:{m.queue}",
                "paused" if m.paused else "open",
                m.ready,
                m.delayed,
                m.active,
                m.completed,
                m.failed,
                m.throughput,
                f"{m.error_rate:.1%}",
                m.p95_ms,
            )
            for m in metrics
        ),
        empty=f"no queues in {location}",
    )


@queue.command()
@queue_argument
@click.option("--window", metavar="TIME", default="1h", show_default=True,
              help="The time over which rates and durations are measured.")  # fmt: skip
@json_option
@store_options
@runs
async def show(queue: str, window: str, url: str | None, *, as_json: bool) -> None:
    """Show a queue's job counts, rates, durations and limits."""
    async with opened(url) as manager:
        found = await existing(manager, queue)
        metrics, info = await found.metrics(window), await found.info()
    document = queue_document(metrics, info)
    if as_json:
        print_json(document)
    else:
        print_facts((key.replace("_", " "), _fact(key, v)) for key, v in document.items())


def _rate_fact(rate: Mapping[str, Any]) -> str:
    burst = "" if rate["burst"] is None else f", {rate['burst']:,} at once"
    return f"{rate['max']:,} in {rate['per']:g} s{burst}"


def _fact(key: str, value: Any) -> Any:
    match key, value:
        case "rate_limit", {}:
            return _rate_fact(value)
        case "by_key", {"field": field, "concurrency": most, "rate_limit": rate}:
            parts = [f"{most:,} at once"] if most else []
            return f"{field}: " + ", ".join(parts + ([_rate_fact(rate)] if rate else []))
        case "window", seconds:
            return f"the last {seconds:,.0f} s"
        case "throughput", rate:
            return f"{rate:,.1f} jobs/s"
        case "error_rate", share:
            return f"{share:.1%}"
        case _:
            return value


@queue.command()
@queue_argument
@json_option
@store_options
@runs
async def pause(queue: str, url: str | None, *, as_json: bool) -> None:
    """Stop workers from fetching jobs.

    Running jobs continue.
    """
    async with opened(url) as manager:
        await (await existing(manager, queue)).pause()
    if as_json:
        print_json({"queue": queue, "paused": True})
    else:
        say(f"{queue} is paused; resume it with `toril queue resume {shlex.quote(queue)}`")


@queue.command()
@queue_argument
@json_option
@store_options
@runs
async def resume(queue: str, url: str | None, *, as_json: bool) -> None:
    """Let workers fetch jobs again after a pause."""
    async with opened(url) as manager:
        await (await existing(manager, queue)).resume()
    if as_json:
        print_json({"queue": queue, "paused": False})
    else:
        say(f"{queue} is no longer paused")


@queue.command()
@queue_argument
@click.option("--state", type=click.Choice(_REMOVABLE), default="completed", show_default=True,
              help="Remove jobs in this state.")  # fmt: skip
@click.option("--grace", metavar="TIME", default=_GRACE, show_default=True,
              help="Remove jobs that have been in the state for at least this time.")  # fmt: skip
@click.option("--limit", type=click.IntRange(min=1), help="The maximum number of jobs to remove.")
@yes_option
@json_option
@store_options
@runs
async def clean(
    queue: str,
    state: str,
    grace: str,
    limit: int | None,
    url: str | None,
    *,
    yes: bool,
    as_json: bool,
) -> None:  # fmt: skip - as on the command line
    """Remove jobs that have been in a state for a while."""
    to_ms(grace, "grace")  # reports a mistake before asking for confirmation
    async with opened(url) as manager:
        found = await existing(manager, queue)
        count = (await found.counts())[JobState(state)]
        most = count if limit is None else min(count, limit)
        what = f"up to {counted(most, f'{state} job')} in {queue} older than {grace}"
        confirm(f"Remove {what}?", yes=yes or not count)
        removed = await found.clean(grace, state, limit)
    _report(removed, as_json=as_json)


@queue.command()
@queue_argument
@click.option("--delayed", is_flag=True, help="Also remove delayed jobs.")
@yes_option
@json_option
@store_options
@runs
async def drain(queue: str, url: str | None, *, delayed: bool, yes: bool, as_json: bool) -> None:
    """Remove all jobs that are ready to run."""
    async with opened(url) as manager:
        found = await existing(manager, queue)
        counts = await found.counts()
        states = READY | {JobState.DELAYED} if delayed else READY
        count = sum(counts[state] for state in states)
        what = "waiting or delayed job" if delayed else "waiting job"
        confirm(f"Remove {counted(count, what)} in {queue}?", yes=yes or not count)
        removed = await found.drain(delayed=delayed)
    _report(removed, as_json=as_json)


@queue.command()
@queue_argument
@click.option("--force", is_flag=True, help="Remove the queue even if jobs are active.")
@yes_option
@json_option
@store_options
@runs
async def obliterate(queue: str, url: str | None, *, force: bool, yes: bool, as_json: bool) -> None:
    """Remove a queue and everything in it."""
    async with opened(url) as manager:
        found = await existing(manager, queue)
        counts = await found.counts()
        active = counts[JobState.ACTIVE]
        if active and not force:
            raise ConflictError(
                f"{queue!r} has {counted(active, 'active job')}; wait until no job is active, "
                "or use --force"
            )
        what = f"the queue {queue} with {counted(sum(counts.values()))}, {active:,} of them running"
        confirm(f"Remove {what}?", yes=yes)
        removed = await found.obliterate(force=force)
    _report(removed, as_json=as_json)


def _report(removed: int, *, as_json: bool) -> None:
    if as_json:
        print_json({"removed": removed})
    else:
        say(f"{counted(removed)} removed")
