"""`toril add`: add a job."""

from __future__ import annotations

import sys
from typing import Any

import click

from toril.cli.console import print_facts, print_json, say
from toril.cli.options import existing, json_option, opened, runs, store_options
from toril.errors import NotFoundError
from toril.model.codec import decode_untrusted
from toril.queues.handle import JobHandle


@click.command()
@click.argument("queue")
@click.argument("name")
@click.argument("data", metavar="[JSON]", default="{}")
@click.option("--priority", help="A name from critical to background, or a number; 1 is first.")
@click.option("--delay", metavar="TIME", help="Run it not before this time has passed: 30s, 5m.")
@click.option("--attempts", type=int, help="How often it is tried.")
@click.option("--backoff", metavar="TIME", help="The time between attempts.")
@click.option("--job-id", metavar="ID", help="An id of your own; a second job with it is ignored.")
@click.option("--tag", "tags", multiple=True, help="A word to find it by; may be repeated.")
@click.option("--timeout", metavar="TIME", help="How long one attempt may take.")
@click.option("--ttl", metavar="TIME", help="It fails if it has not started by then.")
@click.option("--lifo", is_flag=True, help="Put it before those that wait.")
@click.option("--create", is_flag=True, help="Make the queue if there is none of this name.")
@click.option("--wait", metavar="TIME", help="Wait so long for its result, and print it.")
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
    """Add a job NAME to a QUEUE, with JSON as its data; - reads the JSON from stdin."""
    value = decode_untrusted(sys.stdin.buffer.read() if data == "-" else data, "JSON")
    given = {key: v for key, v in options.items() if v not in (None, (), False)}
    if "priority" in given and str(given["priority"]).isdecimal():
        given["priority"] = int(given["priority"])
    async with opened(url, create=create) as manager:
        try:
            found = await existing(manager, queue)
        except NotFoundError as error:
            if not create:
                raise NotFoundError(f"{error} (--create makes a new one)") from None
            found = manager.queue(queue)
        handle = await found.add(name, value, **given)
        result = await handle.result(wait) if wait is not None else None
    _print(handle, result, waited=wait is not None, as_json=as_json)


def _print(handle: JobHandle[Any], result: Any, *, waited: bool, as_json: bool) -> None:
    if as_json:
        document = {"id": handle.id, "created": handle.created, "stored_in": handle.stored_in}
        print_json({**document, "result": result} if waited else document)
        return
    if not handle.created:
        say("a job was there already:")
    facts: list[tuple[str, Any]] = [("id", handle.id), ("stored in", handle.stored_in)]
    print_facts([*facts, ("result", result)] if waited else facts)
