"""`toril add`: add a job."""

from __future__ import annotations

import sys
from typing import Any

import click
import msgspec

from toril.admin.lookup import existing
from toril.cli.console import print_facts, print_json, say
from toril.cli.naming import queue_argument
from toril.cli.options import json_option, opened, runs, store_options
from toril.config import Settings
from toril.errors import NotFoundError
from toril.model.codec import MAX_BYTES, decode_untrusted
from toril.queues.handle import JobHandle


@click.command()
@queue_argument
@click.argument("name")
@click.argument("data", metavar="[JSON]", default="{}")
@click.option("--priority", help="A name from critical to background, or a number; 1 runs first.")
@click.option(
    "--delay", metavar="TIME", help="Run the job after this delay, for example 30s or 5m."
)
@click.option("--attempts", type=int, help="The maximum number of attempts.")
@click.option("--backoff", metavar="TIME", help="The delay between attempts.")
@click.option("--job-id", metavar="ID", help="Use this id; nothing is added if it already exists.")
@click.option("--tag", "tags", multiple=True, help="A tag to find the job by; can be repeated.")
@click.option("--timeout", metavar="TIME", help="The maximum duration of an attempt.")
@click.option("--ttl", metavar="TIME", help="Fail the job if it has not started within this time.")
@click.option("--lifo", is_flag=True, help="Run the job before jobs that are already waiting.")
@click.option("--create", is_flag=True, help="Create the queue if it does not exist.")
@click.option("--wait", metavar="TIME", help="Wait up to this long for the result, and print it.")
@json_option
@store_options
@runs
async def add(
    queue: str,
    name: str,
    data: str,
    *,
    create: bool,
    wait: str | None,
    url: str | None,
    as_json: bool,
    **options: Any,
) -> None:  # fmt: skip - as on the command line
    """Add a job called NAME to QUEUE.

    JSON is the job's data. Use - to read it from stdin.
    """
    settings = Settings.from_environment()
    limit = MAX_BYTES if settings.payload_store is None else settings.payload_max_bytes
    # One byte more than the limit is enough to detect data that are too large.
    text = sys.stdin.buffer.read(limit + 1) if data == "-" else data
    value = decode_untrusted(text, "data", limit)
    given = {key: v for key, v in options.items() if _is_given(v)}
    if "priority" in given and given["priority"].isdecimal():
        given["priority"] = int(given["priority"])
    async with opened(url, create=create) as manager:
        try:
            found = await existing(manager, queue)
        except NotFoundError as error:
            if not create:
                raise NotFoundError(f"{error} (use --create to create it)") from None
            found = manager.queue(queue)
        handle = await found.add(name, value, **given)
        if not handle.created:
            say(f"job {handle.id} already exists; nothing was added")
        result = None
        if wait is not None:
            say(f"waiting for job {handle.id}")
            result = await handle.result(wait)
    _print(handle, result, waited=wait is not None, as_json=as_json)


def _is_given(value: Any) -> bool:
    """Whether an option was given; 0 is a value, which validation may refuse."""
    return value is not None and value is not False and value != ()


def _print(handle: JobHandle[Any], result: Any, *, waited: bool, as_json: bool) -> None:
    if as_json:
        document = {"id": handle.id, "created": handle.created, "stored_in": handle.stored_in}
        print_json({**document, "result": result} if waited else document)
        return
    facts: list[tuple[str, Any]] = [("id", handle.id), ("stored in", handle.stored_in)]
    if waited:
        facts.append(("result", msgspec.json.encode(result).decode()))
    print_facts(facts)
