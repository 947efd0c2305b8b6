"""The verbs of `toril job` that change jobs, by id or by filter."""

from __future__ import annotations

from typing import Any

import click

from toril.admin import bulk
from toril.admin.bulk import Filter, Verb
from toril.admin.lookup import existing
from toril.cli.console import confirm, counted, print_json, say
from toril.cli.exits import Exit
from toril.cli.naming import queue_argument
from toril.cli.options import json_option, opened, runs, store_options, yes_option
from toril.queues.queue import Queue

_HELP = {
    bulk.RETRY: "Run failed jobs again, with all of their attempts.",
    bulk.REMOVE: "Remove jobs that are not running.",
    bulk.PROMOTE: "Make delayed jobs ready now.",
    bulk.CANCEL: "Fail jobs that have not started, and stop running ones.",
}
_SELECTION = "Select jobs by ID, or many at once with --all, --name or --tag."


def _command(verb: Verb, text: str) -> click.Command:
    """Create the command for a verb. It takes either ids or a filter for many jobs."""

    @click.command(verb.name, help=f"{text}\n\n{_SELECTION}")
    @queue_argument
    @click.argument("ids", metavar="[ID]...", nargs=-1)
    @click.option(
        "--all", "everything", is_flag=True, help="All jobs that this command applies to."
    )
    @click.option("--name", help="Only jobs with this name.")
    @click.option("--tag", help="Only jobs with this tag.")
    @yes_option
    @json_option
    @store_options
    @runs
    async def command(
        queue: str,
        ids: tuple[str, ...],
        *,
        url: str | None,
        yes: bool,
        as_json: bool,
        **options: Any,
    ) -> None:
        filters = _filter(ids, **options)
        async with opened(url) as manager:
            found = await existing(manager, queue)
            if filters is None:
                done, refused = await bulk.apply(found, verb, ids)
                count = len(done)
            else:
                await _confirm(found, verb, filters, yes=yes)
                count, refused = await verb.many(found, filters), {}
        if as_json:
            print_json({verb.past: count, "refused": refused})
        else:
            say(*refused.values(), f"{counted(count)} {verb.past}")
        if refused:
            raise click.exceptions.Exit(Exit.PARTLY)

    return command


def _filter(
    ids: tuple[str, ...], *, everything: bool, name: str | None, tag: str | None
) -> Filter | None:
    """Return the filter that the options describe; None if ids are given instead."""
    if (everything or name is not None or tag is not None) == bool(ids):
        raise click.UsageError(
            "Give either ids, or --all, --name or --tag.", click.get_current_context()
        )
    return None if ids else Filter(name, tag)


async def _confirm(queue: Queue, verb: Verb, filters: Filter, *, yes: bool) -> None:
    """Ask for confirmation, with the number of matching jobs."""
    if yes:
        return
    count = await bulk.count(queue, verb, filters)
    more = "more than " if count >= bulk.COUNTED_AT_MOST and filters != Filter() else ""
    which = "".join(
        f" {what} {word!r}"
        for what, word in (("named", filters.name), ("tagged", filters.tag))
        if word is not None
    )
    question = f"{verb.name.capitalize()} {more}{counted(count)}{which} in {queue}?"
    confirm(question, yes=not count)


CONTROLS = [_command(verb, text) for verb, text in _HELP.items()]
