"""`toril job`: inspect and control jobs."""

from __future__ import annotations

import shlex
import sys
from typing import Any

import click

from toril.admin.documents import job_document
from toril.admin.lookup import existing, raw_job
from toril.cli.console import (
    age,
    out,
    print_block,
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
from toril.printable import INDENT, one_line

_STATES = sorted(state.value for state in STORED)
_MAX_WIDTH = 60  # of a job's data or error in a listing, in characters
_MIN_WIDTH = 20
_OTHER_COLUMNS = 75  # the width of the other columns


@click.group()
def job() -> None:
    """Inspect and control jobs."""


for _command in CONTROLS:
    job.add_command(_command)


@job.command("list")
@queue_argument
@click.option("--state", type=click.Choice(_STATES), help="List only jobs in this state.")
@click.option("--name", help="List only jobs with this name.")
@click.option("--tag", help="List only jobs with this tag.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True,
              help="The maximum number of jobs.")  # fmt: skip
@click.option("--cursor", help="Continue where the previous page ended.")
@json_option
@store_options
@runs
async def list_jobs(queue: str, url: str | None, *, as_json: bool, **filters: Any) -> None:
    """List the jobs of QUEUE."""
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
        empty=f"no matching jobs in {queue}" if page.cursor is None else "no matches so far",
    )
    if page.cursor is not None:
        say(f"next page: --cursor {shlex.quote(page.cursor)}")


def _short(text: str) -> str:
    """Shorten text to fit on one line of the listing."""
    width = _MAX_WIDTH
    if sys.stdout.isatty():
        width = min(max(out().width - _OTHER_COLUMNS, _MIN_WIDTH), _MAX_WIDTH)
    line = one_line(text[: width + 1].replace("\n", " "))
    return line if len(line) <= width else line[: width - 1] + "…"


@job.command()
@queue_argument
@click.argument("job_id", metavar="ID")
@click.option("--raw", is_flag=True, help="Show what the store holds for it, as it is.")
@json_option
@store_options
@runs
async def show(queue: str, job_id: str, url: str | None, *, raw: bool, as_json: bool) -> None:
    """Show everything about a job."""
    async with opened(url) as manager:
        where = await existing(manager, queue)
        if raw:
            _print_raw(await raw_job(where, job_id), as_json=as_json)
            return
        found = await where.handle(job_id).job()
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
            ("options", encode_options(found.options, as_read=True)),
            ("data", found.data_json),
            ("payload", _payload(found)),
            ("progress", found.progress_json),
            ("result", found.result_json),
        ]
    )
    for error in found.errors:
        print_block("")
        print_block(
            f"attempt {error.attempt}, {when(error.ended_ms)}: {error.type}: {error.message}"
        )
        if error.stack:
            print_block(INDENT + error.stack.rstrip())


def _print_raw(found: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(found)
    else:
        print_facts(found.items())


def _payload(found: Job) -> str | None:
    """Describe the payload that a job's claim refers to; None if the job has no claim."""
    if not has_claim(found.data_json):
        return None
    try:
        claim = decode_claim(found.data_json)
    except ValueError as error:
        return f"the claim is not valid: {error}"
    return f"{claim.bytes:,} bytes in the payload store, at {claim.path}"


@job.command()
@queue_argument
@click.argument("job_id", metavar="ID")
@click.option("--start", type=click.IntRange(min=0), default=0,
              help="The number of the first line, from 0.")  # fmt: skip
@click.option("--limit", type=click.IntRange(1, 10_000), default=1000, show_default=True,
              help="The maximum number of lines.")  # fmt: skip
@json_option
@store_options
@runs
async def logs(
    queue: str, job_id: str, start: int, limit: int, url: str | None, *, as_json: bool
) -> None:
    """Print a job's log."""
    async with opened(url) as manager:
        handle = (await existing(manager, queue)).handle(job_id)
        await handle.job()
        lines = await handle.logs(start=start, limit=limit)
    if as_json:
        print_json({"lines": lines})
    else:
        for line in lines:
            print_lines(line)
