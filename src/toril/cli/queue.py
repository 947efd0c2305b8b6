"""`toril queue`: look at queues and control them."""

from __future__ import annotations

from typing import Any

import click
import msgspec

from toril.cli.console import confirm, counted, print_facts, print_json, print_table, say
from toril.cli.naming import existing, queue_argument
from toril.cli.options import json_option, opened, runs, store_options, yes_option
from toril.model.state import STORED, JobState

_REMOVABLE = sorted(state.value for state in STORED - {JobState.ACTIVE})


@click.group()
def queue() -> None:
    """Look at queues and control them."""


@queue.command("list")
@json_option
@store_options
@runs
async def list_queues(url: str | None, *, as_json: bool) -> None:
    """List all queues with their counts."""
    async with opened(url) as manager:
        metrics = await manager.get_all_metrics()
        location = manager.engine.location
    if as_json:
        print_json({"queues": metrics})
        return
    columns = ["queue", "state", "#waiting", "#prioritized", "#delayed", "#active", "#completed"]
    print_table(
        [*columns, "#failed", "#jobs/s", "#errors", "#p95 ms"],
        (
            (
                m.queue if m.prefix == manager.prefix else f"{m.prefix}:{m.queue}",
                "paused" if m.paused else "open",
                m.waiting,
                m.prioritized,
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
        empty=f"there are no queues in {location}",
    )


@queue.command()
@queue_argument
@click.option("--window", default="1h", show_default=True, help="How far back rates go.")
@json_option
@store_options
@runs
async def show(queue: str, window: str, url: str | None, *, as_json: bool) -> None:
    """Show one queue's counts, rates, durations and limits."""
    async with opened(url) as manager:
        found = await existing(manager, name)
        metrics, info = await found.metrics(window), await found.info()
    document = {
        **msgspec.structs.asdict(metrics),
        "concurrency": info.concurrency,
        "rate_limit": None
        if info.rate_limit is None
        else {"max": info.rate_limit.max, "per": info.rate_limit.per_ms / 1000},
    }
    if as_json:
        print_json(document)
    else:
        print_facts((key.replace("_", " "), _fact(value)) for key, value in document.items())


def _fact(value: Any) -> Any:
    if isinstance(value, dict):
        return f"{value['max']} in {value['per']:g} s"
    return value


@queue.command()
@queue_argument
@store_options
@runs
async def pause(queue: str, url: str | None) -> None:
    """Let workers take nothing more; running jobs go on."""
    async with opened(url) as manager:
        await (await existing(manager, name)).pause()
    say(f"{name} is paused; `toril queue resume {name}` undoes it")


@queue.command()
@queue_argument
@store_options
@runs
async def resume(queue: str, url: str | None) -> None:
    """Undo a pause."""
    async with opened(url) as manager:
        await (await existing(manager, name)).resume()
    say(f"{name} is open")


@queue.command()
@queue_argument
@click.option("--state", type=click.Choice(_REMOVABLE), default="completed", show_default=True)
@click.option("--grace", metavar="TIME", default="24h", show_default=True, help="Older than this.")
@click.option("--limit", type=click.IntRange(min=1), help="How many at most.")
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
    async with opened(url) as manager:
        found = await existing(manager, name)
        count = (await found.counts())[JobState(state)]
        most = count if limit is None else min(count, limit)
        confirm(f"Remove up to {most:,} {state} jobs of {name} older than {grace}?", yes=yes)
        removed = await found.clean(grace, state, limit)
    _tell(removed, "removed", as_json=as_json)


@queue.command()
@queue_argument
@click.option("--delayed", is_flag=True, help="The delayed jobs, too.")
@yes_option
@json_option
@store_options
@runs
async def drain(queue: str, url: str | None, *, delayed: bool, yes: bool, as_json: bool) -> None:
    """Remove the jobs that wait."""
    async with opened(url) as manager:
        found = await existing(manager, name)
        counts = await found.counts()
        count = counts[JobState.WAITING] + counts[JobState.PRIORITIZED]
        count += counts[JobState.DELAYED] if delayed else 0
        confirm(f"Remove {count:,} jobs that wait in {name}?", yes=yes)
        removed = await found.drain(delayed=delayed)
    _tell(removed, "removed", as_json=as_json)


@queue.command()
@queue_argument
@click.option("--force", is_flag=True, help="Even if jobs are active.")
@yes_option
@json_option
@store_options
@runs
async def obliterate(queue: str, url: str | None, *, force: bool, yes: bool, as_json: bool) -> None:
    """Remove a queue and everything in it."""
    async with opened(url) as manager:
        found = await existing(manager, name)
        count = sum((await found.counts()).values())
        confirm(f"Remove the queue {name} with all of its {count:,} jobs?", yes=yes)
        removed = await found.obliterate(force=force)
    _tell(removed, "removed", as_json=as_json)


def _tell(count: int, what: str, *, as_json: bool) -> None:
    if as_json:
        print_json({what: count})
    else:
        say(f"{count:,} jobs {what}")
