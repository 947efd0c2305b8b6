"""The verbs of `toril job` that change jobs: those of given ids, or all that fit."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, NamedTuple

import click

from toril.cli.console import confirm, counted, print_json, say
from toril.cli.exits import Exit
from toril.cli.naming import existing, queue_argument
from toril.cli.options import json_option, opened, runs, store_options, yes_option
from toril.errors import ConflictError, NotFoundError
from toril.model.state import FINAL, STORED, JobState
from toril.queues.queue import Queue

_COUNTED_AT_MOST = 10_000


class _Verb(NamedTuple):
    """What can be done to jobs.

    Attributes:
        name: What the user types.
        past: What is said when it was done.
        help: What it does.
        states: The jobs that it is for when none are named.
        some: Does it to jobs by id; returns those that it was done to.
        many: Does it to all that have a name or a tag.
    """

    name: str
    past: str
    help: str
    states: frozenset[JobState]
    some: Callable[[Queue, Sequence[str]], Coroutine[Any, Any, list[str]]]
    many: Callable[[Queue, str | None, str | None], Coroutine[Any, Any, int]]


_VERBS = (
    _Verb(
        "retry",
        "retried",
        "Run failed jobs again, with all their attempts",
        frozenset({JobState.FAILED}),
        lambda queue, ids: queue.engine.jobs.retry(queue.ref, ids),
        lambda queue, name, tag: queue.retry_jobs(name=name, tag=tag),
    ),
    _Verb(
        "remove",
        "removed",
        "Remove jobs that do not run",
        STORED - {JobState.ACTIVE},
        lambda queue, ids: queue.engine.jobs.remove(queue.ref, ids),
        lambda queue, name, tag: queue.remove_jobs(name=name, tag=tag),
    ),
    _Verb(
        "promote",
        "promoted",
        "Let delayed jobs run now",
        frozenset({JobState.DELAYED}),
        lambda queue, ids: queue.engine.jobs.promote(queue.ref, ids),
        lambda queue, name, tag: queue.promote_jobs(name=name, tag=tag),
    ),
    _Verb(
        "cancel",
        "cancelled",
        "Fail jobs that wait, and stop those that run",
        STORED - FINAL,
        lambda queue, ids: queue.engine.jobs.cancel(queue.ref, ids),
        lambda queue, name, tag: queue.cancel_jobs(name=name, tag=tag),
    ),
)


def _command(verb: _Verb) -> click.Command:
    """Make a verb's command, which takes ids, or a filter for many jobs."""

    @click.command(
        verb.name, help=f"{verb.help}: those of the IDs, or with --all, --name or --tag many."
    )
    @queue_argument
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
            raise click.UsageError(
                "Give either ids, or --all, --name or --tag.", click.get_current_context()
            )
        refused: dict[str, str] = {}
        async with opened(url) as manager:
            found = await existing(manager, queue)
            if ids:
                done = await verb.some(found, ids)
                count, refused = len(done), await _reasons(found, ids, done, verb.past)
            else:
                await _ask(found, verb, name, tag, yes=yes)
                count = await verb.many(found, name, tag)
        if as_json:
            print_json({verb.past: count, "refused": refused})
        else:
            say("\n".join([*refused.values(), f"{counted(count)} {verb.past}"]))
        if refused:
            raise click.exceptions.Exit(Exit.PARTLY)

    return command


async def _ask(queue: Queue, verb: _Verb, name: str | None, tag: str | None, *, yes: bool) -> None:
    """Tell how many jobs fit, and go on only if that is meant."""
    if yes:
        return
    count = await _count(queue, verb.states, name, tag)
    more = "more than " if count >= _COUNTED_AT_MOST and (name or tag) else ""
    those = "".join(
        f" {what} {word!r}" for what, word in (("named", name), ("tagged", tag)) if word is not None
    )
    question = f"{verb.name.capitalize()} {more}{counted(count)}{those} of {queue}?"
    confirm(question, yes=not count)


async def _count(
    queue: Queue, states: frozenset[JobState], name: str | None, tag: str | None
) -> int:
    if name is None and tag is None:
        counts = await queue.counts()
        return sum(counts[state] for state in states)
    count = 0
    async for job in queue.each(name=name, tag=tag):
        count += job.state in states
        if count == _COUNTED_AT_MOST:
            break
    return count


async def _reasons(
    queue: Queue, ids: Sequence[str], done: Sequence[str], past: str
) -> dict[str, str]:
    """Return for each job that it could not be done to why.

    Raises:
        NotFoundError: It could be done to none, and none is there.
        ConflictError: It could be done to none.
    """
    succeeded = set(done)
    left = [job_id for job_id in dict.fromkeys(ids) if job_id not in succeeded]
    jobs = await queue.engine.jobs.get(queue.ref, left) if left else []
    reasons = {
        job_id: f"there is no job {job_id!r} in queue {str(queue)!r}"
        if found is None
        else f"job {job_id} is {found.state} and cannot be {past}"
        for job_id, found in zip(left, jobs, strict=True)
    }
    if reasons and not done:
        kind = NotFoundError if all(found is None for found in jobs) else ConflictError
        raise kind("; ".join(reasons.values()))
    return reasons


CONTROLS = [_command(verb) for verb in _VERBS]
