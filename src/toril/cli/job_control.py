"""The verbs of `toril job` that change jobs: those of given ids, or all that fit."""

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
    bulk.RETRY: "Run failed jobs again, with all their attempts",
    bulk.REMOVE: "Remove jobs that are not running",
    bulk.PROMOTE: "Let delayed jobs run now",
    bulk.CANCEL: "Fail waiting jobs and stop running ones",
}


def _command(verb: Verb, text: str) -> click.Command:
    """Make a verb's command, which takes ids, or a filter for many jobs."""

    @click.command(verb.name, help=f"{text}: by ID, or many with --all, --name or --tag.")
    @queue_argument
    @click.argument("ids", metavar="[ID]...", nargs=-1)
    @click.option("--all", "everything", is_flag=True, help="All jobs this applies to.")
    @click.option("--name", help="All with this name.")
    @click.option("--tag", help="All with this tag.")
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
        **which: Any,
    ) -> None:
        those = _filter(ids, **which)
        async with opened(url) as manager:
            found = await existing(manager, queue)
            if those is None:
                done, refused = await bulk.apply(found, verb, ids)
                count = len(done)
            else:
                await _ask(found, verb, those, yes=yes)
                count, refused = await verb.many(found, those), {}
        if as_json:
            print_json({verb.past: count, "refused": refused})
        else:
            say("\n".join([*refused.values(), f"{counted(count)} {verb.past}"]))
        if refused:
            raise click.exceptions.Exit(Exit.PARTLY)

    return command


def _filter(
    ids: tuple[str, ...], *, everything: bool, name: str | None, tag: str | None
) -> Filter | None:
    """Return which jobs are meant, if not those of the ids."""
    if (everything or name is not None or tag is not None) == bool(ids):
        raise click.UsageError(
            "Give either ids, or --all, --name or --tag.", click.get_current_context()
        )
    return None if ids else Filter(name, tag)


async def _ask(queue: Queue, verb: Verb, those: Filter, *, yes: bool) -> None:
    """Say how many jobs fit, and go on only if that is meant."""
    if yes:
        return
    count = await bulk.count(queue, verb, those)
    more = "more than " if count >= bulk.COUNTED_AT_MOST and those != Filter() else ""
    which = "".join(
        f" {what} {word!r}"
        for what, word in (("named", those.name), ("tagged", those.tag))
        if word is not None
    )
    question = f"{verb.name.capitalize()} {more}{counted(count)}{which} of {queue}?"
    confirm(question, yes=not count)


CONTROLS = [_command(verb, text) for verb, text in _HELP.items()]
