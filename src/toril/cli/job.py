"""`toril job`: look at jobs and control them."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import click

from toril.cli.console import confirm, iso, print_facts, print_json, print_table, say, when
from toril.cli.exits import Exit
from toril.cli.options import existing, json_option, opened, runs, store_options, yes_option
from toril.errors import ConflictError, NotFoundError
from toril.model import codec
from toril.model.job import Job
from toril.model.state import STORED
from toril.queues.queue import Queue

_LINE = 60  # characters of a job's data or error in a listing


@click.group()
def job() -> None:
    """Look at jobs and control them."""


@job.command("list")
@click.argument("queue")
@click.option("--state", type=click.Choice(sorted(STORED)), help="In this state only.")
@click.option("--name", help="With this name only.")
@click.option("--tag", help="With this tag only.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@click.option("--cursor", help="Where the page before ended.")
@json_option
@store_options
@runs
async def list_jobs(queue: str, url: str | None, *, as_json: bool, **filters: Any) -> None:
    """List the jobs of a QUEUE."""
    async with opened(url) as manager:
        page = await (await existing(manager, queue)).jobs(**filters)
    if as_json:
        print_json({"jobs": [document(found) for found in page.jobs], "cursor": page.cursor})
        return
    print_table(
        ["id", "name", "state", "#priority", "#attempt", "added", "data or error"],
        (
            (
                found.id,
                found.name,
                found.state,
                found.priority,
                f"{found.attempts_made}/{found.options.attempts}",
                when(found.created_ms),
                _short(found.failed_reason or found.data_json),
            )
            for found in page.jobs
        ),
        empty=f"no job of {queue} fits",
    )
    if page.cursor is not None:
        say(f"there are more: --cursor '{page.cursor}'")


def _short(text: str) -> str:
    line = text.replace("\n", " ")
    return line if len(line) <= _LINE else line[: _LINE - 1] + "…"


@job.command()
@click.argument("queue")
@click.argument("job_id", metavar="ID")
@json_option
@store_options
@runs
async def show(queue: str, job_id: str, url: str | None, *, as_json: bool) -> None:
    """Show all that is known of a job."""
    async with opened(url) as manager:
        found = await (await existing(manager, queue)).handle(job_id).job()
    if as_json:
        print_json(document(found))
        return
    print_facts(
        [
            ("id", found.id),
            ("queue", str(found.queue)),
            ("name", found.name),
            ("state", found.state),
            ("priority", found.priority or None),
            ("attempts", f"{found.attempts_made} of {found.options.attempts}"),
            ("stalled", found.stalls),
            ("added", when(found.created_ms)),
            ("due", when(found.due_ms)),
            ("started", when(found.started_ms)),
            ("finished", when(found.finished_ms)),
            ("worker", found.worker),
            ("cancel requested", found.cancel_requested),
            ("tags", ", ".join(found.tags) or None),
            ("options", codec.encode_options(found.options)),
            ("data", found.data_json),
            ("progress", found.progress_json),
            ("result", found.result_json),
        ]
    )
    for error in found.errors:
        say(f"\nattempt {error.attempt}, {when(error.ended_ms)}: {error.type}: {error.message}")
        if error.stack:
            say(error.stack.rstrip())


def document(found: Job) -> dict[str, Any]:
    """Return a job as the JSON document that scripts read.

    Args:
        found: The job.
    """
    return {
        "id": found.id,
        "queue": found.queue.name,
        "prefix": found.queue.prefix,
        "name": found.name,
        "state": found.state,
        "priority": found.priority,
        "data": found.data,
        "options": codec.decode(codec.encode_options(found.options)),
        "created_at": iso(found.created_ms),
        "due_at": iso(found.due_ms),
        "started_at": iso(found.started_ms),
        "finished_at": iso(found.finished_ms),
        "attempts_made": found.attempts_made,
        "attempts_started": found.attempts_started,
        "stalled": found.stalls,
        "progress": found.progress,
        "result": found.result,
        "worker": found.worker,
        "cancel_requested": found.cancel_requested,
        "errors": [
            {
                "attempt": error.attempt,
                "type": error.type,
                "message": error.message,
                "stack": error.stack,
                "ended_at": iso(error.ended_ms),
            }
            for error in found.errors
        ],
    }


@job.command()
@click.argument("queue")
@click.argument("job_id", metavar="ID")
@click.option("--start", type=click.IntRange(min=0), default=0, help="The first line, from 0.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=1000, show_default=True)
@json_option
@store_options
@runs
async def logs(
    queue: str, job_id: str, start: int, limit: int, url: str | None, *, as_json: bool
) -> None:
    """Print what a job's handler logged."""
    async with opened(url) as manager:
        handle = (await existing(manager, queue)).handle(job_id)
        await handle.job()
        lines = await handle.logs(start=start, limit=limit)
    if as_json:
        print_json({"lines": lines})
    else:
        for line in lines:
            click.echo(line)


_One = Callable[[Queue, Sequence[str]], Coroutine[Any, Any, list[str]]]
_All = Callable[[Queue, str | None, str | None], Coroutine[Any, Any, int]]


def _control(verb: str, past: str, what: str, one: _One, many: _All) -> None:
    """Make the command of a verb that takes ids, or a filter for many jobs."""

    @job.command(verb, help=f"{what}: those of the IDs, or with --all, --name or --tag many.")
    @click.argument("queue")
    @click.argument("ids", metavar="[ID]...", nargs=-1)
    @click.option("--all", "everything", is_flag=True, help="All that it can be done to.")
    @click.option("--name", help="All with this name.")
    @click.option("--tag", help="All with this tag.")
    @yes_option
    @json_option
    @store_options
    @runs
    async def command(
        queue: str,
        ids: tuple[str, ...],
        name: str | None,
        tag: str | None,
        url: str | None,
        *,
        everything: bool,
        yes: bool,
        as_json: bool,
    ) -> None:  # fmt: skip - as on the command line
        many_wanted = everything or name is not None or tag is not None
        if many_wanted == bool(ids):
            raise click.UsageError("give either ids, or --all, --name or --tag")
        async with opened(url) as manager:
            found = await existing(manager, queue)
            if ids:
                done = await one(found, ids)
                await _judge(found, ids, done, past)
                count = len(done)
            else:
                total = sum((await found.counts()).values())
                confirm(
                    f"{verb.capitalize()} every fitting job among the {total:,} of {queue}?",
                    yes=yes,
                )
                count = await many(found, name, tag)
        if as_json:
            print_json({past: count})
        else:
            say(f"{count:,} jobs {past}")
        if ids and count < len(set(ids)):
            raise click.exceptions.Exit(Exit.PARTLY)


async def _judge(queue: Queue, ids: Sequence[str], done: Sequence[str], past: str) -> None:
    """Say of each job that it could not be done to why; fail if it could to none."""
    refused = [job_id for job_id in dict.fromkeys(ids) if job_id not in done]
    if not refused:
        return
    jobs = await queue.engine.get(queue.ref, refused)
    reasons = [
        f"there is no job {job_id!r} in queue {str(queue)!r}"
        if found is None
        else f"job {job_id} is {found.state} and cannot be {past}"
        for job_id, found in zip(refused, jobs, strict=True)
    ]
    if not done:
        kind = NotFoundError if all(found is None for found in jobs) else ConflictError
        raise kind("; ".join(reasons))
    for reason in reasons:
        say(reason)


_control(
    "retry",
    "retried",
    "Run failed jobs again",
    lambda queue, ids: queue.engine.retry(queue.ref, ids),
    lambda queue, name, tag: queue.retry_jobs(name=name, tag=tag),
)
_control(
    "remove",
    "removed",
    "Remove jobs that do not run",
    lambda queue, ids: queue.engine.remove(queue.ref, ids),
    lambda queue, name, tag: queue.remove_jobs(name=name, tag=tag),
)
_control(
    "promote",
    "promoted",
    "Let delayed jobs run now",
    lambda queue, ids: queue.engine.promote(queue.ref, ids),
    lambda queue, name, tag: queue.promote_jobs(name=name, tag=tag),
)
_control(
    "cancel",
    "cancelled",
    "Fail jobs that wait, and stop those that run",
    lambda queue, ids: queue.engine.cancel(queue.ref, ids),
    lambda queue, name, tag: queue.cancel_jobs(name=name, tag=tag),
)
