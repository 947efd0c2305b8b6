"""`toril job`: look at jobs and control them."""

from __future__ import annotations

import shlex
import sys
from typing import Any

import click

from toril.admin.documents import job_document
from toril.admin.lookup import existing
from toril.cli.console import (
    age,
    out,
    print_facts,
    print_json,
    print_lines,
    print_table,
    say,
    when,
)
from toril.cli.job_control import CONTROLS
from toril.cli.naming import queue_argument
from toril.cli.options import json_option, opened, runs, store_options
from toril.clock import SystemClock
from toril.model.claim import decode_claim, has_claim
from toril.model.job import Job
from toril.model.job_options import encode_options
from toril.model.state import STORED

_STATES = sorted(state.value for state in STORED)
_LINE = 60  # characters of a job's data or error in a listing, where there is room
_LEAST = 20
_REST = 75  # what the other columns take


@click.group()
def job() -> None:
    """Look at jobs and control them."""


for _command in CONTROLS:
    job.add_command(_command)


@job.command("list")
@queue_argument
@click.option("--state", type=click.Choice(_STATES), help="In this state only.")
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
        print_json({"jobs": [job_document(found) for found in page.jobs], "cursor": page.cursor})
        return
    now = SystemClock().wall_ms()
    print_table(
        ["!id", "name", "!state", "#prio", "#tries", "#age", "data or error"],
        (
            (
                found.id,
                found.name,
                found.state,
                found.priority,
                f"{found.attempts_made}/{found.options.attempts}",
                age(found.created_ms, now),
                _short(found.failed_reason or found.data_json),
            )
            for found in page.jobs
        ),
        empty=f"no job of {queue} fits" if page.cursor is None else "none so far",
    )
    if page.cursor is not None:
        say(f"there are more: --cursor {shlex.quote(page.cursor)}")


def _short(text: str) -> str:
    """Return what fits into a line."""
    room = min(max(out().width - _REST, _LEAST), _LINE) if sys.stdout.isatty() else _LINE
    line = text[: room + 1].replace("\n", " ")
    return line if len(line) <= room else line[: room - 1] + "…"


@job.command()
@queue_argument
@click.argument("job_id", metavar="ID")
@json_option
@store_options
@runs
async def show(queue: str, job_id: str, url: str | None, *, as_json: bool) -> None:
    """Show all that is known of a job."""
    async with opened(url) as manager:
        found = await (await existing(manager, queue)).handle(job_id).job()
    if as_json:
        print_json(job_document(found))
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
            ("options", encode_options(found.options)),
            ("data", found.data_json),
            ("payload", _payload(found)),
            ("progress", found.progress_json),
            ("result", found.result_json),
        ]
    )
    for error in found.errors:
        print_lines(
            f"\nattempt {error.attempt}, {when(error.ended_ms)}: {error.type}: {error.message}"
        )
        if error.stack:
            print_lines(error.stack.rstrip())


def _payload(found: Job) -> str | None:
    """Return what is known of a payload that the job carries only a claim on."""
    if not has_claim(found.data_json):
        return None
    try:
        claim = decode_claim(found.data_json)
    except ValueError as error:
        return f"the claim is none: {error}"
    return f"{claim.bytes:,} bytes in the payload store, at {claim.path}"


@job.command()
@queue_argument
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
            print_lines(line)
